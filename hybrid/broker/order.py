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
LINE = b"line"
"""The field that says its place among those of its key."""
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_SIZED |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
"""By the first byte of a msgpack value: bytes of the length that follows, and what is before the content."""
_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_FIXED |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
"""By the first byte: how many follow."""


def order_key(data: bytes, field: str) -> bytes | None:
    """Return the key that a field of a message's data is: step by step what `admit.lua` does, so that both
    find the same in whatever bytes. Of a text, bytes or extension the content, of an integer of up to 32 bits
    its digits, else the value as it is packed; None for nothing, lists and maps, which take no turns, and for
    bytes that are no message.
    """
    try:
        return _key_of(data, field.encode())
    except IndexError:  # the bytes end before the value does
        return None


def turn(keys: Keys, component: str, fields: dict[bytes, bytes]) -> Turn | None:
    """Return the turn that an entry takes; None for one that keeps no order."""
    place = fields.get(GATE)
    if place is None:
        return None
    origin = fields.get(b"origin") or fields.get(b"id", b"")
    return Turn(keys.gate(component), keys.held(component), keys.own(component), place, origin)


def place_in_line(entry: bytes) -> bytes:
    """Return the place of what came under this entry's id, as `admit.lua` writes it: such texts sort as the
    ids do.
    """
    ms, _, number = entry.partition(b"-")
    return b"1" + ms.rjust(16, b"0") + number.rjust(20, b"0")


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


def _key_of(data: bytes, field: bytes) -> bytes | None:
    if not (0x80 <= data[0] < 0x90 or data[0] in (0xDE, 0xDF)):
        return None
    at, _, values = _span(data, 0)
    for _ in range(values // 2):
        first, end, _ = _span(data, at)
        at = _skip(data, at)
        if data[first:end] == field:
            text = _text(data, at)
            return None if text is None else text.replace(b"\0", b"\\0")
        at = _skip(data, at)
    return None


def _span(data: bytes, at: int) -> tuple[int, int, int]:
    """Return where a value's content begins and ends, and how many values it has in it."""
    kind = data[at]
    if kind < 0x80 or kind >= 0xE0:
        return at, at + 1, 0
    if kind < 0xA0:
        return at + 1, at + 1, (kind & 0x0F) * (2 if kind < 0x90 else 1)
    if kind < 0xC0:
        return at + 1, at + 1 + kind - 0xA0, 0
    if kind in _FIXED:
        return at + 1, at + 1 + _FIXED[kind], 0
    if kind in _SIZED:
        length, between = _SIZED[kind]
        first = at + 1 + length + between
        return first, first + _number(data, at + 1, length), 0
    length = 2 if kind in (0xDC, 0xDE) else 4
    return at + 1 + length, at + 1 + length, _number(data, at + 1, length) * (2 if kind >= 0xDE else 1)


def _skip(data: bytes, at: int) -> int:
    left = 1
    while left:
        _, at, inside = _span(data, at)
        left += inside - 1
    return at


def _text(data: bytes, at: int) -> bytes | None:
    kind = data[at]
    first, end, inside = _span(data, at)
    if kind in (0xC0, 0x80, 0x90) or inside or 0xDC <= kind <= 0xDF:
        return None
    if 0xD4 <= kind <= 0xD8:
        return data[first + 1 : end]
    if 0xA0 <= kind < 0xC0 or kind in _SIZED:
        return data[first:end]
    if kind < 0x80 or kind >= 0xE0:
        return b"%d" % (kind if kind < 0x80 else kind - 0x100)
    if 0xCC <= kind <= 0xD3:
        number = _number(data, first, _FIXED[kind])
        if kind >= 0xD0 and data[first] >= 0x80:
            number -= 1 << 8 * _FIXED[kind]
        if _FIXED[kind] < 8:
            return b"%d" % number
    return data[at:end]


def _number(data: bytes, at: int, length: int) -> int:
    number = 0
    for n in range(at, at + length):
        number = number * 256 + data[n]
    return number
