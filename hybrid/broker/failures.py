"""Failures: deliveries that no retry could cure, whole, with what went wrong. One stream per group."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass, field
from typing import Any

import msgpack

from hybrid.broker.outputs import WAKE_UP
from hybrid.envelope import Envelope, from_fields
from hybrid.errors import HybridError
from hybrid.ids import derived_id
from hybrid.keys import Keys
from hybrid.streams.transitions import Item, add

MAX_TEXT = 20_000
SENT_BACK = b"sent-back"
"""The field, beside the envelope, that counts how often people have sent a message back."""
_INSTALLED = re.compile(r"site-packages|dist-packages|lib[/\\]python\d|^<").search
"""A file that is no user's code: a package's, Python's own, or none."""


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
    frame: str = ""
    """Where the user's code raised it, as `module.function`; empty when it was not the user's code."""
    note: str = ""
    """What a program that tried to repair it says."""
    failed: int = 0
    """When, in ms; 0 for one that goes to the desk only now."""

    @property
    def fingerprint(self) -> str:
        """What failures of one cause have in common: the exception's type, and the user's code that raised it
        (the idea of Wolverine's dead letter queue).
        """
        return fingerprint(self.error, self.frame)

    @property
    def sent_back(self) -> int:
        """How often people have sent it back before it failed again."""
        told = self.fields.get(SENT_BACK, b"0")
        return int(told) if told.isdigit() else 0

    @property
    def kind(self) -> bytes:
        """What failures that are counted together have in common: a field of its own, which can be read
        without the rest (see kinds.lua).
        """
        type = self.fields.get(b"type", b"")
        error, frame = (text.encode(errors="replace") for text in (self.error, self.frame))
        return b"\0".join((type, error, frame, b"%d" % self.sent_back))

    @property
    def subject(self) -> str:
        """The id of the message that a chain of repairs began with, "" for what is no message."""
        envelope = self.envelope
        return envelope.subject if envelope else ""

    @property
    def envelope(self) -> Envelope | None:
        """The message's envelope; None when what came is no message."""
        try:
            return from_fields(self.fields, self.entry.encode())
        except (KeyError, ValueError):
            return None

    @property
    def version(self) -> int:
        """The message's schema version, 0 for what is no message."""
        envelope = self.envelope
        return envelope.version if envelope else 0

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
    def own_flow(self) -> str:
        """The flow that failed itself: the one that was woken, or that an event begins with its mediator; ""
        when it is a message that failed.
        """
        envelope = self.envelope
        if self.fields.get(b"type") == WAKE_UP.encode():
            return self.flow
        return envelope.id if envelope and envelope.class_ else ""

    @property
    def data(self) -> bytes:
        """The message's data as it came."""
        return self.fields.get(b"data", b"")

    @classmethod
    def read(cls, component: str, entry: bytes, fields: dict[bytes, bytes]) -> Failure:
        """Return a failure as it stands in the stream."""
        facts = msgpack.unpackb(fields[b"facts"])
        flat = msgpack.unpackb(fields[b"fields"])
        original = dict(zip(flat[::2], flat[1::2], strict=True))
        moment = int(fields.get(b"failed") or entry.partition(b"-")[0])
        return cls(entry.decode(), component, fields=original, failed=moment, **facts)

    def packed(self, note: str = "") -> list[Any]:
        """Return it as the fields of a stream entry, with a note."""
        names = ("channel", "handler", "error", "message", "traceback", "attempts", "frame", "note")
        facts = {name: getattr(self, name) for name in names} | ({"note": note} if note else {})
        flat = [_raw(item) for pair in self.fields.items() for item in pair]
        since = ["failed", str(self.failed)] if self.failed else []
        return ["kind", self.kind, *since, "facts", msgpack.packb(facts), "fields", msgpack.packb(flat)]


@dataclass(frozen=True, slots=True)
class Culprit:
    """Where a delivery failed: the component, its handler, the channel's name."""

    component: str
    handler: str
    channel: str


def fingerprint(error: str, frame: str) -> str:
    """Return what failures of one cause have in common, in words."""
    return f"{error} in {frame}" if frame else error


def short_id(fingerprint: str) -> str:
    """Return a fingerprint as 8 digits that people can type."""
    return derived_id(fingerprint)[:8]


def failure_of(culprit: Culprit, fields: dict[bytes, bytes], error: BaseException, attempts: int) -> Failure:
    """Return the failure that an error makes of a delivery; `fields` is its entry."""
    return Failure(
        "",
        culprit.component,
        culprit.channel,
        culprit.handler,
        fields,
        error_name(error),
        error_text(error)[:MAX_TEXT],
        plain("".join(traceback.format_exception(error)))[-MAX_TEXT:],
        attempts,
        _frame(error),
    )


def failed_output(keys: Keys, failure: Failure) -> Item:
    """Return the effect that puts a delivery among the failures of its group. That they are counted makes
    them known when no component has this name any more.
    """
    return add(keys.failed(failure.component), f"failed:{failure.component}", failure.packed())


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


def _frame(error: BaseException) -> str:
    """Return where an error left the user's code: the deepest frame that is neither ours nor a package's."""
    found = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] != "hybrid" and not _INSTALLED(frame.f_code.co_filename):
            found = f"{module}.{frame.f_code.co_qualname}"
    return found


def _raw(item: Any) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode()
