"""Deliveries, and the lanes they come in by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hybrid.broker.order import GATE, LINE, order_key, place_in_line
from hybrid.broker.shard import Shard
from hybrid.envelope import Envelope
from hybrid.errors import HandlerError
from hybrid.positions import BEGINNING, History, Start, place
from hybrid.streams.scripts import Entries

MOST = 512
"""The most deliveries that one lane takes ahead in one process."""
AHEAD = 0.2
"""How many seconds of work a lane takes ahead: fast handlers read far, slow ones leave the rest to other
workers."""
REPLAYED = b"replayed"
"""The field of an entry that is history to its group: set when it is read, and stays with the message."""

BROADCAST = b"broadcast"
"""The field of an entry that a mediator hears by a topic: set when it is read, and stays with the message, so
that one which was handed back is not taken for an initiating event."""


class Taker(Protocol):
    """What a lane hands its deliveries to: a runner."""

    component: str

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Take deliveries into work."""

    def drop_waiting(self) -> list[Delivery]:
        """Give up what has not been started; return it."""

    def poisoned(self, delivery: Delivery, error: HandlerError) -> None:
        """End a delivery without starting it."""

    @property
    def running(self) -> set[asyncio.Task[Any]]:
        """What is being handled now."""


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
    ended: asyncio.Event | None = None
    """Set, where somebody waits for it, when the delivery is out of work."""
    given_again: bool = False
    """Whether it was read once more while it was in work: its group was reset."""

    @property
    def replayed(self) -> bool:
        """Whether this is history to its group; a retry and what was handed back is, when the first was."""
        return REPLAYED in self.fields

    @property
    def unit(self) -> str:
        """The delivery's name where starts are counted."""
        return f"{self.lane.channel}|{self.lane.component}|{self.entry.decode()}"


class Lane:
    """One stream as one component reads it: what is in work, and how much more may be."""

    def __init__(
        self,
        shard: Shard,
        stream: str,
        runner: Taker,
        group: str,
        concurrency: int,
        *,
        is_new: bool = False,
    ) -> None:
        self.shard = shard
        self.stream = stream
        self.channel = shard.keys.channel(stream)
        self.runner = runner
        self.component = runner.component
        self.group = group
        self.queue = not self.channel.startswith("topic:")
        self.again = stream if self.channel.startswith("repair:") else shard.keys.own(self.component)
        """The stream on which goes back what was not started."""
        self.is_new = is_new
        """Whether what comes in here starts something: it is read when what is under way leaves room."""
        self.in_work: dict[bytes, Delivery] = {}
        self.left_out = False
        """Whether the reader passes it by at present, since it is full."""
        self.on_room: Callable[[], None] = lambda: None
        """Called when the lane, left out before, is open again."""
        self.start: Start = BEGINNING
        """Where its group begins, when it is a new group of a topic."""
        self.asked = False
        """Whether a handler may ask what is replayed."""
        self.history: History | None = None
        """What is replayed, as far as is known; None for nothing."""
        self.on_given_again: Callable[[], None] = lambda: None
        """Called when a delivery that was given again is out of work."""
        self.ordered: dict[str, str] = {}
        """The field by which messages of a type keep their order, by type; of a lane that keeps one."""
        self.heard = False
        """Whether what comes in is a broadcast that a mediator hears for its flows."""
        self._concurrency = concurrency
        self._least = self._ahead = max(1, concurrency // 4)
        self._ended = 0
        self._since = time.monotonic()

    @property
    def room(self) -> int:
        """How many more deliveries may be read."""
        return self._concurrency + self._ahead - len(self.in_work)

    @property
    def open(self) -> bool:
        """Whether to read it: when half of what it takes ahead is used up, so that it is read in batches."""
        return 2 * self.room >= self._ahead

    def accept(self, entries: Entries, taken: int, *, taken_over: bool = False) -> list[Delivery]:
        """Take entries into work, save those that are; return their deliveries, not yet handed to the
        runner.
        """
        deliveries = []
        for entry, fields in entries:
            if entry not in self.in_work:
                delivery = Delivery(self, entry, fields, taken, taken_over)
                self.in_work[entry] = delivery
                deliveries.append(delivery)
        for delivery in deliveries if self.heard else ():
            delivery.fields[BROADCAST] = b"1"
        if self.history and deliveries:
            _mark(deliveries, self.history)
        if self.ordered:
            self._take_turns(deliveries)
        return deliveries

    def _take_turns(self, deliveries: Sequence[Delivery]) -> None:
        """Write down whose turn each takes; it has been let in, so the turn is its own. What was read by
        `admit.lua` says it; what is found pending does not.
        """
        for delivery in deliveries:
            if GATE in delivery.fields:
                continue
            field = self.ordered.get(delivery.fields.get(b"type", b"").decode(errors="replace"))
            key = order_key(delivery.fields.get(b"data", b""), field) if field else None
            if key is not None:
                delivery.fields[GATE] = b"%s|%s" % (self.channel.encode(), key)
                delivery.fields[LINE] = place_in_line(delivery.entry)

    def note_given_again(self, entries: Entries, deliveries: Sequence[Delivery]) -> None:
        """Remember which entries of a read were in work already: all but these deliveries."""
        new = {delivery.entry for delivery in deliveries}
        for entry, _ in entries:
            if entry not in new and (known := self.in_work.get(entry)):
                known.given_again = True

    def give_up(self) -> None:
        """Take everything out of work unsettled: the lease was lost, others may have taken it over."""
        for delivery in self.in_work.values():
            if delivery.ended:
                delivery.ended.set()
        self.in_work.clear()

    def release(self, delivery: Delivery) -> None:
        """Take a delivery out of work: it is settled, or given up."""
        if self.in_work.get(delivery.entry) is delivery:
            del self.in_work[delivery.entry]
        if delivery.ended:
            delivery.ended.set()
        if delivery.given_again:
            self.on_given_again()
        self._ended += 1
        now = time.monotonic()
        if now - self._since >= 0.05:
            rate = self._ended / (now - self._since)
            self._ahead = min(MOST, max(self._least, int(rate * AHEAD)))
            self._ended, self._since = 0, now
        if self.left_out and self.open:
            self.left_out = False
            self.on_room()


def _mark(deliveries: Sequence[Delivery], history: History) -> None:
    """Mark those that are replayed. They are in order, so one look tells when history is over."""
    if place(deliveries[0].entry.decode()) > history.upto:
        return
    for delivery in deliveries:
        if history.has(delivery.entry):
            delivery.fields[REPLAYED] = b"1"
