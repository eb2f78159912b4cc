"""Orphans: deliveries of consumers that died. They are taken over and run one at a time.

A consumer counts as dead when its lease was absent, as seen by this observer's own monotonic clock, for a
whole lease since its own last reconnect: a restarted server has forgotten nobody's work, but everybody's
lease.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from hybrid.broker.shard import Shard
from hybrid.errors import HandlerError, ServerError
from hybrid.runtime.delivery import Delivery, Lane
from hybrid.runtime.workplace import Workplace

AT_ONCE = 100
_log = logging.getLogger("hybrid.orphans")


class Orphans:
    """Looks for deliveries of dead consumers in these lanes, takes them over and runs them one by one."""

    def __init__(
        self, lanes: Sequence[Lane], workplace: Workplace, on_lost_reply: Callable[[], None]
    ) -> None:
        self._lanes = lanes
        self._workplace = workplace
        self._on_lost_reply = on_lost_reply
        """Called when something may have become ours without our knowing."""
        self._absent: dict[str, dict[str, float]] = {}
        """Per place where consumers are named: since when (monotonic) each has been without a lease."""
        self._queue: deque[Delivery] = deque()
        self._found = asyncio.Event()
        self._lease = workplace.settings.lease_ms / 1000

    @property
    def waiting(self) -> list[Delivery]:
        """What was taken over and not started yet."""
        return list(self._queue)

    async def look(self) -> None:
        """Look for ever: a dead host's blocked reader may be given entries after it was struck off."""
        while True:
            await asyncio.sleep(self._lease / 4)
            try:
                for lane in self._lanes:
                    await self._look(lane)
                for shard in {lane.shard for lane in self._lanes}:
                    await self._strike_off(shard)
            except ServerError as error:
                self._absent.clear()
                self._on_lost_reply()
                _log.warning("looking for orphans again: %s", error)

    async def run_taken(self) -> None:
        """Run what was taken over, one at a time, for ever."""
        while True:
            await self._found.wait()
            try:
                await self._run_queue()
            except ServerError as error:
                _log.warning("running orphans again: %s", error)
                self._found.set()
                await asyncio.sleep(0.2)

    async def _look(self, lane: Lane) -> None:
        rows = await lane.shard.queries.consumers(lane.stream, lane.group)
        place = f"{lane.stream}|{lane.group}"
        for name in await self._dead(lane.shard, place, [name for name, _ in rows]):
            await self._take(lane, name)

    async def _strike_off(self, shard: Shard) -> None:
        """Forget what the dead said that they serve."""
        consumers = shard.keys.consumers
        enrolled = [name.decode() for name in await shard.queries.hash(consumers)]
        for name in await self._dead(shard, consumers, enrolled):
            await shard.writes.strike_off(consumers, name)

    async def _dead(self, shard: Shard, place: str, names: list[str]) -> list[str]:
        """Return those of these consumers that were without a lease for a whole lease, as we saw it."""
        others = [name for name in names if name != self._workplace.consumer]
        alive = await shard.queries.exist([shard.keys.lease(name) for name in others]) if others else []
        now, before = time.monotonic(), self._absent.get(place, {})
        absent = {name: before.get(name, now) for name, lives in zip(others, alive, strict=True) if not lives}
        self._absent[place] = absent
        return [name for name, since in absent.items() if now - since > self._lease]

    async def _take(self, lane: Lane, dead: str) -> None:
        """Take over what a dead consumer left in a lane."""
        lease = lane.shard.keys.lease(dead)
        me = self._workplace.consumer
        while not self._workplace.stopping:
            entries = await lane.shard.scripts.takeover(lane.stream, lease, lane.group, dead, me, AT_ONCE)
            if not entries:
                return
            _log.warning("took over %d deliveries of %s in %s", len(entries), dead, lane.channel)
            self._queue.extend(lane.accept(entries, self._workplace.clock.now(), taken_over=True))
            self._found.set()

    async def _run_queue(self) -> None:
        self._found.clear()
        while self._queue and not self._workplace.stopping:
            delivery = self._queue[0]
            lane = delivery.lane
            if lane.in_work.get(delivery.entry) is not delivery:
                self._queue.popleft()  # our own lease was lost meanwhile: it is no longer ours
                continue
            unit, consumer = delivery.unit, self._workplace.consumer
            starts = await lane.shard.writes.count_start(lane.shard.keys.starts, unit, consumer)
            self._queue.popleft()
            if starts > self._workplace.settings.poison_starts:
                why = (
                    f"started {starts - 1} times without an outcome: its worker was killed or lost each time"
                )
                lane.runner.poisoned(delivery, HandlerError(why))
                continue
            delivery.ended = asyncio.Event()
            lane.runner.take([delivery])
            await delivery.ended.wait()
