"""What is sent later: messages that stand in the store, whole, until they are due.

A member of the zset `scheduled` is ID, a zero byte, and in msgpack what the effect `add` takes: the stream,
its counter, the entry's fields (`send.lua` writes it).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import msgpack

from hybrid.errors import ScheduleError
from hybrid.keys import Keys
from hybrid.streams.transitions import Transition, add, fire

FURTHEST = timedelta(days=3653)
"""Nothing is sent later than this: ten years."""


class Scheduled(NamedTuple):
    """A message that is sent later: its id, the channel that it will enter, its entry."""

    id: str
    channel: str
    fields: dict[bytes, bytes]

    @property
    def type(self) -> str:
        """The message's name."""
        return self.fields[b"type"].decode()

    @property
    def version(self) -> int:
        """Its schema version."""
        return int(self.fields.get(b"v", b"1"))

    @property
    def data(self) -> bytes:
        """The message itself, packed."""
        return self.fields[b"data"]


def when(at: datetime | None, after: timedelta | None, now: int) -> tuple[str, int]:
    """Return a time of sending as `send.lua` takes it; `now` is the server's, in ms. Raises ScheduleError."""
    if at is not None and after is not None:
        raise ScheduleError("sent at a time or after a while: give one, not both")
    if after is not None:
        if after < timedelta(0):
            raise ScheduleError(f"after {after.total_seconds():,g} s: nothing is sent before now")
        how, ms = "after", after // timedelta(milliseconds=1)
    else:
        assert at is not None
        if at.tzinfo is None:
            raise ScheduleError(f"at {at.isoformat()}: say in which time zone, as datetime(…, tzinfo=UTC)")
        how, ms = "at", max(int(at.timestamp() * 1000), 0)
    if (ms if how == "after" else ms - now) > FURTHEST // timedelta(milliseconds=1):
        raise ScheduleError("nothing is sent later than in ten years")
    return how, ms


def moved(keys: Keys, member: bytes) -> Transition:
    """Return the transition that lets a message enter its channel: it is counted there from now on."""
    _, _, packed = member.partition(b"\0")
    stream, counter, fields = msgpack.unpackb(packed, raw=True)
    return Transition((), [fire(keys.scheduled, member)], [add(stream.decode(), counter.decode(), fields)])


def scheduled(keys: Keys, member: bytes) -> Scheduled:
    """Return the message that a member is."""
    id, _, packed = member.partition(b"\0")
    stream, _, flat = msgpack.unpackb(packed, raw=True)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Scheduled(id.decode(), keys.channel(stream.decode()), fields)
