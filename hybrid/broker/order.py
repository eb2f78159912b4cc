"""Order per key: deliveries of one key run one after the other, in the order in which they were sent.

The field `gate` of an entry says whose turn it takes, as CHANNEL|KEY; an entry keeps it wherever it goes:
into work, to its next attempt, to repair and to the desk. `admit.lua` reads and gates; a settle for good
releases.
"""

from __future__ import annotations

from typing import NamedTuple

import msgpack

from hybrid.keys import Keys
from hybrid.streams.transitions import Turn

GATE = b"gate"
"""The field of an entry that takes a turn."""


def order_key(data: bytes, field: str) -> bytes | None:
    """Return the key that a field of a message's data is, as `admit.lua` finds it: of a text, bytes or
    extension the content, of an integer of up to 32 bits its digits, else the value as it is packed. None for
    nothing, lists and maps, which take no turns, and for bytes that are no message.
    """
    unpacker = msgpack.Unpacker(raw=True, ext_hook=lambda code, content: content, strict_map_key=False)
    unpacker.feed(data)
    try:
        for _ in range(unpacker.read_map_header()):
            name = unpacker.unpack()
            if name != field.encode():
                unpacker.skip()
                continue
            start = unpacker.tell()
            value = unpacker.unpack()
            return _text(value, data[start : unpacker.tell()])
    except (ValueError, msgpack.UnpackException):
        return None
    return None


def turn(keys: Keys, component: str, fields: dict[bytes, bytes]) -> Turn | None:
    """Return the turn that an entry takes; None for one that keeps no order."""
    place = fields.get(GATE)
    if place is None:
        return None
    origin = fields.get(b"origin") or fields.get(b"id", b"")
    return Turn(keys.gate(component), keys.held(component), keys.own(component), place, origin)


class Held(NamedTuple):
    """A delivery that waits for the one before of its key: where it waits, the id of its message's origin,
    its entry.
    """

    place: bytes
    origin: bytes
    fields: dict[bytes, bytes]

    @property
    def channel(self) -> str:
        """The channel that it came by."""
        return self.place.partition(b"|")[0].decode()

    @property
    def key(self) -> str:
        """The key, as text."""
        return self.place.partition(b"|")[2].decode(errors="backslashreplace")


def held(member: bytes) -> Held:
    """Return what is held, of a member of the zset (see `admit.lua`)."""
    place, _, packed = member.split(b"\0", 2)
    origin, flat = msgpack.unpackb(packed, raw=True)
    return Held(place, origin, dict(zip(flat[::2], flat[1::2], strict=True)))


def _text(value: object, packed: bytes) -> bytes | None:
    if value is None or isinstance(value, list | dict):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 31) <= value < 1 << 32:
        text = b"%d" % value
    else:
        text = value if isinstance(value, bytes) else packed
    return text.replace(b"\0", b"\\0")
