"""Waits: what a flow waits to hear, and how a broadcast event finds those who wait for it.

An event is described by some of its fields and a digest of their values. In the flow's shard stand, for each
mediator, which descriptions are in use (the hash `matches`), and for each event type who waits, by digest
(the zset `waits`, in the order of its members' bytes). So an event is heard by looking up one digest per
description, however many flows wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from hybrid.codec import pack
from hybrid.errors import ApplicationError
from hybrid.keys import Keys
from hybrid.mediator.record import CANCEL_ON, FlowRecord
from hybrid.messages import Event, hides, problems
from hybrid.streams.transitions import Item, Waiting, listen, unlisten

DIGEST = 16
"""Bytes of a digest."""
APART = 1_000
"""The clocks of the servers of a cluster may be so far (ms) apart."""
LONGEST = 60
"""Letters of a value where people see it."""


class Match(NamedTuple):
    """What an event must be like: its type, the fields that are compared (a,b,c), the digest of their
    values.
    """

    type: str
    fields: str
    digest: bytes


class Listener(NamedTuple):
    """A step of a run of a flow that waits to hear an event. What `cancels` the flow is of all its runs (0),
    since a run that begins in the middle keeps it.
    """

    flow: str
    run: int
    step: int
    cancels: bool = False

    def member(self, digest: bytes) -> bytes:
        """Return how it stands in the index."""
        kind = "c" if self.cancels else "w"
        return digest + f"{kind}{self.flow}/{self.run}/{self.step}".encode()

    @classmethod
    def read(cls, member: bytes) -> Listener:
        """Return the listener that a member of the index is."""
        told = member[DIGEST:].decode()
        flow, run, step = told[1:].split("/")
        return cls(flow, int(run), int(step), told[0] == "c")


class Wanted(NamedTuple):
    """What a flow asks to hear: the match, how people see it (`invoice-paid order_id=O-1`), and its values as
    bytes, which are the same when they are equal.
    """

    match: Match
    words: str
    values: bytes


def wanted(what: str, cls: Any, match: Any, hears: Collection[type[Event]] | None = None) -> Wanted:
    """Return what a flow asks to hear: an event class that its mediator `hears` (None: any), its fields, and
    the plain values that they must equal. `what` is what the flow has called.

    Raises ApplicationError for what can't be heard, or matched.
    """
    if not isinstance(cls, type) or not issubclass(cls, Event) or cls is Event:
        raise ApplicationError(f"{what} takes an Event class, got {cls!r}")
    who = f"{what}({cls.__name__}, match=…)"
    if hears is not None and cls not in hears:
        known = ", ".join(sorted(each.__name__ for each in hears)) or "nothing"
        raise ApplicationError(
            f"{who}: the mediator hears {known}. Declare what its flows listen to:"
            f" @mediator.flow(…, hears={cls.__name__})"
        )
    if not isinstance(match, Mapping) or not match:
        raise ApplicationError(f'{who}: match is a dict of fields and values, as {{"order_id": "O-1"}}')
    values = {name: _checked(cls, name, match[name], who) for name in match}
    names = sorted(values)
    described = pack([[name, values[name][1]] for name in names])
    words = " ".join(f"{name}={_shown(values[name][0])}" for name in names)
    found = Match(cls.type_name, ",".join(names), _digest(described))
    return Wanted(found, f"{cls.type_name} {words}", described)


def digest_of(event: Event, fields: str) -> bytes | None:
    """Return the digest of an event's values in these fields (a,b,c); None when one can't be compared, or
    the class has it no more.
    """
    names = fields.split(",")
    try:
        return _digest(pack([[name, plain(getattr(event, name))] for name in names]))
    except (AttributeError, TypeError, ValueError):
        return None


def plain(value: Any) -> bytes:
    """Return a plain value so that equal values are equal bytes, whatever their types. Raises TypeError for
    what is none, ValueError for what equals nothing (NaN).
    """
    if isinstance(value, Enum):
        value = value.value
    for kinds, packed in _PLAIN:
        if isinstance(value, kinds):
            return packed(value)
    raise TypeError(f"is a {type(value).__name__}, no plain value: text, a number, a date, an enum, a UUID")


def waiting(keys: Keys, mediator: str, match: Match, listener: Listener) -> Waiting:
    """Return where a listener stands in the index."""
    return Waiting(
        keys.waits(mediator, match.type),
        keys.matches(mediator),
        listener.member(match.digest),
        f"{match.type} {match.fields}",
    )


def listening(keys: Keys, mediator: str, match: Match, listener: Listener) -> Item:
    """Return the effect that puts a listener into the index: it hears what is broadcast from now on."""
    where = waiting(keys, mediator, match, listener)
    return listen(where, keys.topic(match.type), keys.flow(listener.flow), listener.step)


def unlistening(keys: Keys, mediator: str, match: Match, listener: Listener) -> Item:
    """Return the effect that takes a listener out of the index, if it is there."""
    return unlisten(waiting(keys, mediator, match, listener))


def listener_of(record: FlowRecord, number: int, kind: str) -> Listener:
    """Return a step of a kind as it waits to hear an event."""
    cancels = kind == CANCEL_ON
    return Listener(record.id, 0 if cancels else record.run, number, cancels)


def since(said: bytes, at: int, *, elsewhere: bool) -> bool:
    """Tell whether an event was broadcast (ms) since a step waits, as its record says (`wait:N`); the same as
    settle.lua's `hear`.
    """
    here, there = map(int, said.split())
    return at >= (there - APART if elsewhere else here)


def descriptions(matches: Iterable[bytes]) -> dict[str, list[str]]:
    """Return the descriptions in use, as `matches` has them: by type the fields (a,b,c)."""
    found: dict[str, list[str]] = {}
    for each in matches:
        type, _, fields = each.decode().partition(" ")
        found.setdefault(type, []).append(fields)
    return found


def _checked(cls: type[Event], name: str, value: Any, who: str) -> tuple[Any, bytes]:
    """Return the value that a field must have, as the field's type has it, and as bytes."""
    field = cls.model_fields.get(name)
    if field is None:
        known = ", ".join(cls.model_fields) or "none"
        raise ApplicationError(f"{who}: {name!r} is not one of its fields: {known}")
    if hides(field.annotation) or hasattr(value, "get_secret_value"):
        raise ApplicationError(f"{who}: {name} is secret: match by another field, as an id")
    try:
        value = _adapter(cls, name).validate_python(value)
        return value, plain(value)
    except ValidationError as error:
        why = "; ".join(rule for _, rule in problems(error))
        raise ApplicationError(f"{who}: {name}: {why}") from None
    except (TypeError, ValueError) as error:
        raise ApplicationError(f"{who}: {name}: {error}") from None


@cache
def _adapter(cls: type[Event], name: str) -> TypeAdapter[Any]:
    """Return what validates a value for a field, with its constraints."""
    field = cls.model_fields[name]
    annotation: Any = Annotated[field.annotation, field]
    return TypeAdapter(annotation)


def _number(value: Decimal) -> bytes:
    """Return a number by its digits and exponent, without zeros at the end: 10, 10.0 and 1E+1 are equal."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        if value.is_nan():
            raise ValueError("is NaN, which equals nothing")
        return b"-inf" if sign else b"inf"
    text = "".join(map(str, digits))
    kept = text.rstrip("0").lstrip("0")
    if not kept:
        return b"0"
    return f"{'-' if sign else ''}{kept}e{exponent + len(text) - len(text.rstrip('0'))}".encode()


_PLAIN: tuple[tuple[Any, Callable[[Any], bytes]], ...] = (
    ((int, float, Decimal), lambda value: b"n" + _number(Decimal(value))),
    (str, lambda value: b"s" + value.encode()),
    (type(None), lambda value: b"-"),
    (bytes, lambda value: b"b" + value),
    (UUID, lambda value: b"u" + value.bytes),
    (datetime, lambda value: b"d" + _moment(value).isoformat().encode()),
    ((date, time), lambda value: b"t" + value.isoformat().encode()),
    (timedelta, lambda value: b"l%d,%d,%d" % (value.days, value.seconds, value.microseconds)),
)
"""How plain values of a type become bytes; a datetime is a date, too, so it comes first."""


def _moment(value: datetime) -> datetime:
    """Return a moment in one time zone, if it has any."""
    return value.astimezone(UTC) if value.tzinfo else value


def _digest(described: bytes) -> bytes:
    return blake2b(described, digest_size=DIGEST).digest()


def _shown(value: Any) -> str:
    value = value.value if isinstance(value, Enum) else value
    try:
        text = str(value)
    except ValueError:  # Python writes no integer of more than some thousand digits
        text = f"(of {value.bit_length():,} bits)"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
