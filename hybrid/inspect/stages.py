"""Sending many failures back in growing stages, which stop when they fail again.

After a stage its messages are followed in the settle log until each has ended there, or is back at the desk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat

from hybrid.broker import log
from hybrid.broker.shard import Shard, Store
from hybrid.inspect.actions import SENT_BACK, Desk, Order, Outcome

BATCH = 200
"""Failures that are acted on together."""
PAGE = 500
PACE = 0.05
"""Seconds between two looks at the settle log."""
DONE, AGAIN, EXPIRED, NOT_ENDED = "done", "failed again", "expired", "not ended"
ENDS = {
    **dict.fromkeys((log.DONE, log.CLASSIFIED, log.STARTED, log.ADVANCED, log.ENDED, log.DUPLICATE), DONE),
    log.FAILED: AGAIN,
    log.EXPIRED: EXPIRED,
}
"""What a message that was sent back has come to, by the outcome in the settle log; others are no end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many go back in each stage, the last size again and again; and when to stop."""

    sizes: tuple[int, ...]
    stop_on: int = 1
    """So many of a stage that fail again end it all."""
    rate: float = 0.0
    """Messages a second; 0 for no limit."""
    patience: float = 30.0
    """Seconds to wait for a stage's messages."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage came to; `stopped` says why no other follows, "" when one may."""

    number: int
    outcomes: tuple[Outcome, ...]
    stopped: str = ""


class Pace:
    """Lets so many a second go; 0 for no limit."""

    def __init__(self, rate: float) -> None:
        self.batch = max(1, min(BATCH, int(rate / 10))) if rate else BATCH
        self._rate = rate
        self._due = 0.0

    async def wait(self, number: int) -> None:
        """Wait until so many more may go."""
        if self._rate:
            now = time.monotonic()
            await asyncio.sleep(max(self._due - now, 0))
            self._due = max(self._due, now) + number / self._rate


async def sent(desk: Desk, orders: AsyncIterator[Order], pace: Pace) -> AsyncIterator[list[Outcome]]:
    """Act on all of these, a batch at a time."""
    async for batch in batches(orders, repeat(pace.batch)):
        await pace.wait(len(batch))
        yield await desk.act(batch)


async def staged(desk: Desk, orders: AsyncIterator[Order], plan: Plan) -> AsyncIterator[Stage]:
    """Send these back, stage by stage, until all are, or a stage says stop. What comes after is untouched."""
    pace, number = Pace(plan.rate), 0
    async for batch in batches(orders, chain(plan.sizes, repeat(plan.sizes[-1]))):
        number += 1
        following = await Following.begin(desk.store)
        outcomes: list[Outcome] = []
        for start in range(0, len(batch), pace.batch):
            some = batch[start : start + pace.batch]
            await pace.wait(len(some))
            outcomes += await desk.act(some)
        ended = await following.ended(batch, outcomes, plan.patience)
        stopped = _stopped(ended, plan)
        yield Stage(number, tuple(ended), stopped)
        if stopped:
            return


async def batches(orders: AsyncIterator[Order], sizes: Iterator[int]) -> AsyncIterator[list[Order]]:
    """Gather orders into batches of these sizes; the last may be smaller."""
    batch: list[Order] = []
    size = next(sizes)
    async for order in orders:
        batch.append(order)
        if len(batch) == size:
            yield batch
            batch, size = [], next(sizes)
    if batch:
        yield batch


def _stopped(outcomes: Sequence[Outcome], plan: Plan) -> str:
    again = sum(outcome.result.startswith(AGAIN) for outcome in outcomes)
    open = sum(outcome.result == NOT_ENDED for outcome in outcomes)
    if again >= plan.stop_on:
        return f"{again:,} failed again"
    return f"{open:,} had not ended after {plan.patience:g} s" if open else ""


class Following:
    """Follows messages in the settle logs from where these ended when it began."""

    def __init__(self, places: dict[int, str], shards: Sequence[Shard]) -> None:
        self._places = places
        self._shards = shards

    @classmethod
    async def begin(cls, store: Store) -> Following:
        """Begin now: what is sent from here on is seen."""
        places = {}
        for shard in store.shards:
            newest = await shard.queries.newest(shard.keys.log, most=1)
            places[shard.number] = newest[0][0].decode() if newest else "0-0"
        return cls(places, store.shards)

    async def ended(
        self, orders: Sequence[Order], outcomes: Sequence[Outcome], patience: float
    ) -> list[Outcome]:
        """Return these outcomes with, for what was sent back, how it ended within so many seconds."""
        ended = list(outcomes)
        waiting: dict[tuple[int, str, str], int] = {}
        for at, (order, outcome) in enumerate(zip(orders, outcomes, strict=True)):
            if outcome.result == SENT_BACK:
                shard, failure = order.view.source
                waiting[shard.number, failure.component, outcome.new or outcome.message or failure.flow] = at
        until = time.monotonic() + patience
        while waiting and time.monotonic() < until:
            for place, result in await self._look():
                if (found := waiting.pop(place, None)) is not None:
                    times = orders[found].view.sent_back + 1
                    said = f"{AGAIN} ({times})" if result == AGAIN else result
                    ended[found] = replace(ended[found], result=said)
            if waiting:
                await asyncio.sleep(PACE)
        for at in waiting.values():
            ended[at] = replace(ended[at], result=NOT_ENDED)
        return ended

    async def _look(self) -> list[tuple[tuple[int, str, str], str]]:
        """Return what has ended since the last look: where, and how."""
        found = []
        for shard in self._shards:
            number = shard.number
            entries = await shard.queries.range(shard.keys.log, f"({self._places[number]}", most=PAGE)
            for entry, fields in entries:
                self._places[number] = entry.decode()
                for line in log.entries_of(fields):
                    if result := ENDS.get(line.outcome):
                        ids = (line.id, line.flow) if not line.step else (line.id,)
                        found += [((number, line.component, id), result) for id in ids if id]
        return found
