"""Housekeeping: trims topics and the settle log to their limits and forgets ended flows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from hybrid.broker.shard import Shard
from hybrid.errors import ServerError
from hybrid.runtime.workplace import Workplace

EACH = 1.0
BATCH = 500
DESK_LOG = 100_000
"""So many actions at the desk are remembered, whenever they were."""
_ANY = 1 << 53
_log = logging.getLogger("hybrid.housekeeping")


class Housekeeping:
    """Keeps one shard within its limits. Any number of workers may."""

    def __init__(self, shard: Shard, topics: Iterable[str], workplace: Workplace) -> None:
        self._shard = shard
        self._topics = list(topics)
        self._clock = workplace.clock
        s = workplace.settings
        self._limits = (s.topic_entries, s.topic_bytes, s.topic_ms, s.topic_hard_entries)
        self._log_limits = (_ANY, s.log_bytes, s.topic_ms, _ANY)
        self._desk_limits = (DESK_LOG, s.log_bytes, _ANY, _ANY)
        self._flows, self._flow_ms = s.flow_entries, s.flow_ms

    async def run(self) -> None:
        """Go round for ever."""
        while True:
            await asyncio.sleep(EACH)
            try:
                await self.once()
            except ServerError as error:
                _log.warning("housekeeping again: %s", error)

    async def once(self) -> None:
        """Go round once."""
        groups = await self._groups()
        for topic in self._topics:
            await self._retain(topic, groups.get(topic, []), self._limits)
        await self._retain("log", [], self._log_limits)
        await self._retain("desk-log", [], self._desk_limits)
        await self._forget()

    async def _groups(self) -> dict[str, list[str]]:
        """Return the registered groups by topic (its channel name)."""
        found: dict[str, list[str]] = {}
        for raw in await self._shard.queries.hash(self._shard.keys.groups):
            kind, _, rest = raw.decode().partition(":")
            topic, _, group = rest.partition("|")
            if kind == "mark":
                found.setdefault(topic, []).append(group)
        return found

    async def _retain(self, topic: str, groups: list[str], limits: tuple[int, int, int, int]) -> None:
        keys = self._shard.keys
        removed = 1000
        while removed >= 1000:
            names = [keys.prefix + topic, keys.groups, keys.counters]
            for group in groups:
                names += [keys.gate(group), keys.held(group), keys.own(group)]
            removed, cut = await self._shard.scripts.retain(names, topic, limits, groups)
            if removed < 0:
                _log.error(
                    "%s is not trimmed: a registered group is missing; its worker re-creates it", topic
                )
            if cut:
                _log.error(
                    "%s: %d unsettled deliveries were cut at the hard limit (HYBRID_TOPIC_HARD_ENTRIES)",
                    topic,
                    cut,
                )

    async def _forget(self) -> None:
        """Delete ended flows beyond the number and the age that are kept."""
        keys, queries = self._shard.keys, self._shard.queries
        while True:
            excess = (await queries.lengths([keys.outcomes]))[0] - self._flows
            oldest = await queries.range(keys.outcomes, most=BATCH)
            limit = self._clock.server_time() - self._flow_ms
            ripe = [
                (entry, fields)
                for place, (entry, fields) in enumerate(oldest)
                if place < excess or int(entry.partition(b"-")[0]) < limit
            ]
            if ripe:
                ids = [(entry, told.get(b"run", b"1"), told[b"flow"].decode()) for entry, told in ripe]
                flows = [(entry, run, keys.flow(id), keys.history(id)) for entry, run, id in ids]
                await self._shard.scripts.forget(keys.outcomes, flows)
            if len(ripe) < BATCH:
                return
