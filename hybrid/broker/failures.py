"""Failures: deliveries that no retry could cure, whole, with what went wrong. One stream per group."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any

import msgpack

from hybrid.broker.outputs import WAKE_UP
from hybrid.envelope import Envelope, from_fields
from hybrid.errors import HybridError
from hybrid.keys import Keys
from hybrid.streams.transitions import Item, Transition, add, hdel, take

MAX_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed delivery. `entry` is its handle: the id of its place among the failures. Times in ms."""

    entry: str
    component: str
    channel: str
    handler: str
    fields: dict[bytes, bytes] = field(repr=False)
    error: str = ""
    message: str = ""
    traceback: str = ""
    attempts: int = 1
    failed: int = 0

    @property
    def envelope(self) -> Envelope | None:
        """The message's envelope; None when what came is no message."""
        try:
            return from_fields(self.fields, self.entry.encode())
        except (KeyError, ValueError):
            return None

    @property
    def flow(self) -> str:
        """The flow that the message belongs to, or that an initiating event starts; empty when none is
        named.
        """
        if self.fields.get(b"type") == WAKE_UP.encode():
            return self.fields.get(b"flow", b"").decode(errors="replace")
        envelope = self.envelope
        return (envelope.flow or envelope.id) if envelope else ""

    @property
    def data(self) -> bytes:
        """The message's data as it came."""
        return self.fields.get(b"data", b"")

    @classmethod
    def read(cls, component: str, entry: bytes, fields: dict[bytes, bytes]) -> Failure:
        """Return a failure as it stands in the stream."""
        channel, handler, error, message, trace, attempts = msgpack.unpackb(fields[b"facts"])
        flat = msgpack.unpackb(fields[b"fields"])
        original = dict(zip(flat[::2], flat[1::2], strict=True))
        moment = int(entry.partition(b"-")[0])
        return cls(
            entry.decode(), component, channel, handler, original, error, message, trace, attempts, moment
        )


@dataclass(frozen=True, slots=True)
class Culprit:
    """Where a delivery failed: the component, its handler, the channel's name."""

    component: str
    handler: str
    channel: str


def failed_output(
    keys: Keys, culprit: Culprit, fields: list[Any], error: BaseException, attempts: int
) -> Item:
    """Return the effect that puts a delivery among the failures of its group. `fields` is the entry, flat."""
    trace = plain("".join(traceback.format_exception(error)))[-MAX_TEXT:]
    text = error_text(error)[:MAX_TEXT]
    facts = [culprit.channel, culprit.handler, error_name(error), text, trace, attempts]
    packed = [
        "facts",
        msgpack.packb(facts),
        "fields",
        msgpack.packb([_raw(item) for item in fields]),
    ]
    return add(keys.failed(culprit.component), "", packed)


def sent_back(keys: Keys, failure: Failure) -> Transition:
    """Return the transition that sends a failure back to the one group it failed in, with its attempts
    counted anew.
    """
    fields = {**failure.fields, b"attempt": b"1"}
    envelope = failure.envelope
    if envelope is not None:
        fields[b"time"] = str(envelope.time).encode()
    flat = [item for pair in fields.items() for item in pair]
    effects: list[Item] = [add(keys.own(failure.component), "", flat)]
    if flow := failure.flow:
        step = envelope.step if envelope is not None else 0
        effects.append(hdel(keys.flow(flow), f"stuck:{step}" if step else "error"))
    return Transition((), [take(keys.failed(failure.component), failure.entry)], effects)


def error_name(error: BaseException) -> str:
    """Return an error's class, with its module unless that is Python's or ours."""
    cls = type(error)
    plain = isinstance(error, HybridError) or cls.__module__ == "builtins"
    return cls.__name__ if plain else f"{cls.__module__}.{cls.__name__}"


def error_text(error: BaseException) -> str:
    """Return what an error says; of one that can't say it, that."""
    try:
        return plain(str(error))
    except Exception as unsaid:  # an error's own __str__ may raise anything
        return f"(its text can't be had: {type(unsaid).__name__})"


def error_note(error: BaseException) -> str:
    """Return an error in a line, as it stands in the settle log and on a flow's record."""
    return f"{type(error).__name__}: {error_text(error)}"[:500]


def plain(text: str) -> str:
    """Return a text that can be encoded: lone surrogates, as file names have them, are written out."""
    return text.encode(errors="backslashreplace").decode()


def _raw(item: Any) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode()
