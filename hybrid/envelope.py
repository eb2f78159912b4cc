"""The envelope: what is known about a message beside its data, and how both stand in a stream entry.

An entry has one named field per fact, and only for facts that are not at their default; `data` holds the
message itself (see `hybrid.codec`). The names on the wire:

    id type v corr cause origin key time source trace attempt expires flow run step reply class rule reason
    retry data

The id of a flow's command is FLOW/RUN/STEP, and what an id tells is not written again. So the defaults are,
for a command with such an id and a `reply`: flow, run and step those of the id, cause and corr the flow,
source the mediator that waits (`reply`); and for what was caused by such a command: corr its flow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple


class Envelope(NamedTuple):
    """What is known about a message. Times are in ms since 1970."""

    id: str
    type: str
    version: int = 1
    correlation: str = ""
    """The initiating event's id, the same for all that it leads to."""
    cause: str = ""
    """The id of the message whose handling sent this one."""
    origin: str = ""
    """The id of the first message in a chain of repairs; empty when this is the first."""
    key: str = ""
    time: int = 0
    """When it was sent, by the server's clock."""
    source: str = ""
    """The component that sent it."""
    trace: str = ""
    """A W3C traceparent, handed on as it came."""
    attempt: int = 1
    """1 for the first start of its handler, counted by what was started."""
    expires: int = 0
    """For a command with a timeout: after this nobody waits for it. 0 for never."""
    flow: str = ""
    run: int = 0
    step: int = 0
    reply: str = ""
    """For a command of a flow: the mediator that waits for the acknowledgement."""
    class_: str = ""
    rule: str = ""
    reason: str = ""
    retry: str = ""
    """For a command that is not tried again as its handler says: a RetryPolicy, as that is written."""

    @property
    def subject(self) -> str:
        """The origin if there is one, else the id."""
        return self.origin or self.id


_NAMES = [
    "v" if n == "version" else "corr" if n == "correlation" else n.rstrip("_") for n in Envelope._fields
]
_INTEGERS = {"version", "time", "attempt", "expires", "run", "step"}
_DEFAULTS = Envelope("", "")
_READ: dict[bytes, tuple[int, bool]] = {
    name.encode(): (index, field in _INTEGERS)
    for index, (name, field) in enumerate(zip(_NAMES, Envelope._fields, strict=True))
}
FACTS = frozenset((*_READ, b"data"))
"""The names of the fields that `to_fields` writes."""
_TYPE, _TIME = map(_NAMES.index, ("type", "time"))
_TELLABLE = ("corr", "cause", "source", "flow", "run", "step")
_CORRELATION, _CAUSE, _SOURCE, _FLOW, _RUN, _STEP = map(_NAMES.index, _TELLABLE)
_SELDOM = ("v", "origin", "time", "trace", "attempt", "expires", "class", "rule", "reason", "retry")
_USUALLY = tuple(_DEFAULTS[_NAMES.index(name)] for name in _SELDOM)
_COMMAND_ID = re.compile(r"([^/]+)/([1-9]\d{0,8})/([1-9]\d{0,8})", re.ASCII).fullmatch
_NEW = tuple.__new__


def to_fields(envelope: Envelope, data: bytes) -> list[Any]:
    """Return the flat list [name, value, …] that stands in a stream entry."""
    (
        id, type, version, correlation, cause, origin, key, time, source, trace,
        attempt, expires, flow, run, step, reply, class_, rule, reason, retry,
    ) = envelope  # fmt: skip
    fields: list[Any] = ["id", id, "type", type]
    told = _told(id, cause, reply)
    tellable = (correlation, cause, source, flow, run, step)
    if tellable != told:
        _add(fields, _TELLABLE, tellable, told)
    if key:
        fields += ("key", key)
    if reply:
        fields += ("reply", reply)
    seldom = (version, origin, time, trace, attempt, expires, class_, rule, reason, retry)
    if seldom != _USUALLY:
        _add(fields, _SELDOM, seldom, _USUALLY)
    fields += ("data", data)
    return fields


def first_fields(id: str, type: str, version: int, key: str, data: bytes) -> list[Any]:
    """Return what `to_fields` gives for a message from outside, of which no more is known, faster."""
    fields: list[Any] = ["id", id, "type", type]
    if key:
        fields += ("key", key)
    if version != 1:
        fields += ("v", str(version))
    fields += ("data", data)
    return fields


def _add(fields: list[Any], names: Sequence[str], values: Sequence[Any], defaults: Sequence[Any]) -> None:
    """Add the values that are not at their default."""
    for name, value, default in zip(names, values, defaults, strict=True):
        if value != default:
            fields += (name, str(value))


def from_fields(fields: dict[bytes, bytes], entry: bytes) -> Envelope:
    """Return the envelope of a stream entry; `time` is the entry's own when the field is absent.

    Raises ValueError (also UnicodeDecodeError) for values that are none of ours, KeyError when `id` or
    `type` is missing.
    """
    id, cause, reply = (fields.get(name, b"").decode() for name in (b"id", b"cause", b"reply"))
    if not id:
        raise KeyError("id")
    values: list[Any] = [*_DEFAULTS]
    (
        values[_CORRELATION], values[_CAUSE], values[_SOURCE], values[_FLOW], values[_RUN], values[_STEP],
    ) = _told(id, cause, reply)  # fmt: skip
    for name, value in fields.items():
        if slot := _READ.get(name):
            values[slot[0]] = int(value) if slot[1] else value.decode()
    if not values[_TYPE]:
        raise KeyError("type")
    if not values[_TIME]:
        values[_TIME] = int(entry.partition(b"-")[0])
    return _NEW(Envelope, values)


Told = tuple[str, str, str, str, int, int]
_NOTHING: Told = ("", "", "", "", 0, 0)


def _told(id: str, cause: str, reply: str) -> Told:
    """Return what the id of a flow's command, or of what it caused, tells: correlation, cause, source, flow,
    run and step.
    """
    if reply and (found := _COMMAND_ID(id)):
        flow, run, step = found.groups()
        return flow, flow, reply, flow, int(run), int(step)
    if cause and (found := _COMMAND_ID(cause)):
        return found[1], "", "", "", 0, 0
    return _NOTHING
