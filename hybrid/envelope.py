"""The envelope: what is known about a message beside its data, and how both stand in a stream entry.

An entry has one named field per fact, and only for facts that are not at their default; `data` holds the
message itself (see `hybrid.codec`). The names on the wire:

    id type v corr cause origin key time source trace attempt expires flow run step reply class rule reason
    data
"""

from __future__ import annotations

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

    @property
    def subject(self) -> str:
        """The origin if there is one, else the id."""
        return self.origin or self.id


_NAMES = [
    "v" if n == "version" else "corr" if n == "correlation" else n.rstrip("_") for n in Envelope._fields
]
_INTEGERS = {"version", "time", "attempt", "expires", "run", "step"}
_ONES = [place for place, name in enumerate(Envelope._fields) if name in ("version", "attempt")]
"""Where 1 is the default; elsewhere it is "" or 0."""
_DEFAULTS = Envelope("", "")
_READ: dict[bytes, tuple[int, bool]] = {
    name.encode(): (index, field in _INTEGERS)
    for index, (name, field) in enumerate(zip(_NAMES, Envelope._fields, strict=True))
}
_NEW = tuple.__new__


def to_fields(envelope: Envelope, data: bytes) -> list[Any]:
    """Return the flat list [name, value, …] that stands in a stream entry."""
    fields: list[Any] = ["id", envelope[0], "type", envelope[1]]
    for place, value in enumerate(envelope):
        if value and place > 1 and not (value == 1 and place in _ONES):
            fields.append(_NAMES[place])
            fields.append(value if value.__class__ is str else str(value))
    fields.append("data")
    fields.append(data)
    return fields


def from_fields(fields: dict[bytes, bytes], entry: bytes) -> Envelope:
    """Return the envelope of a stream entry; `time` is the entry's own when the field is absent.

    Raises ValueError (also UnicodeDecodeError) for values that are none of ours, KeyError when `id` or
    `type` is missing.
    """
    values: list[Any] = [*_DEFAULTS]
    for name, value in fields.items():
        if slot := _READ.get(name):
            values[slot[0]] = int(value) if slot[1] else value.decode()
    if not values[0] or not values[1]:
        raise KeyError("id" if not values[0] else "type")
    if not values[7]:
        values[7] = int(entry.partition(b"-")[0])
    return _NEW(Envelope, values)
