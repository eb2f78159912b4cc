"""Deliveries, and the lanes they come in by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hybrid.broker.shard import Shard
from hybrid.envelope import Envelope
from hybrid.streams.scripts import Entries

if TYPE_CHECKING:
    from hybrid.runtime.runner import Runner

MOST = 512
"""The most deliveries of one lane in one process at a time."""
AHEAD = 0.2
"""How many seconds of work a lane takes ahead: fast handlers read far, slow ones leave the rest to other workers."""


@dataclass(slots=True, eq=False)
class Delivery:
    """One message handed to one consumer, one attempt."""

    lane: Lane
    entry: bytes
    fields: dict[bytes, bytes] = field(repr=False)
    taken: int
    """When it was read, in ms."""
    taken_over: bool = False
    """Whether it was taken from a dead worker; such deliveries run one at a time."""
    envelope: Envelope | None = None

    @property
    def unit(self) -> str:
        """The delivery's name where starts are counted."""
        return f"{self.lane.channel}|{self.lane.component}|{self.entry.decode()}"


class Lane:
    """One stream as one component reads it: what is in work, and how much more may be."""

    def __init__(self, shard: Shard, stream: str, runner: Runner, group: str, base: int) -> None:
        self.shard = shard
        self.stream = stream
        self.channel = shard.keys.channel(stream)
        self.runner = runner
        self.component = runner.component
        self.group = group
        self.queue = not self.channel.startswith("topic:")
        self.in_work: dict[bytes, Delivery] = {}
        self.on_room: Callable[[Lane], None] = lambda lane: None
        """Called when the lane, full before, has room again."""
        self._base = base
        self._window = base
        self._ended = 0
        self._since = time.monotonic()

    @property
    def room(self) -> int:
        """How many more deliveries may be read."""
        return self._window - len(self.in_work)

    def accept(self, entries: Entries, taken: int, *, taken_over: bool = False) -> list[Delivery]:
        """Take entries into work, save those that are; return their deliveries, not yet handed to the runner."""
        deliveries = []
        for entry, fields in entries:
            if entry not in self.in_work:
                delivery = Delivery(self, entry, fields, taken, taken_over)
                self.in_work[entry] = delivery
                deliveries.append(delivery)
        return deliveries

    def release(self, delivery: Delivery) -> None:
        """Take a delivery out of work: it is settled, or given up."""
        full = self.room <= 0
        if self.in_work.get(delivery.entry) is delivery:
            del self.in_work[delivery.entry]
        self._ended += 1
        now = time.monotonic()
        if now - self._since >= 0.05:
            rate = self._ended / (now - self._since)
            self._window = min(MOST, max(self._base, int(rate * AHEAD)))
            self._ended, self._since = 0, now
        if full and self.room > 0:
            self.on_room(self)
