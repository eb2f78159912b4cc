"""What is sent later: looking at it, and cancelling it. See `schedules` for what is sent again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from hybrid.broker.recurring import is_tick
from hybrid.broker.scheduled import scheduled
from hybrid.broker.shard import Shard, Store
from hybrid.ids import checked_id
from hybrid.inspect.shown import visible
from hybrid.streams.transitions import APPLIED, Transition, fire
from hybrid.topology import Topology

PAGE = 500


@dataclass(frozen=True, slots=True)
class ScheduledMessage:
    """A message that is sent later. `due` in ms, secrets masked."""

    id: str
    type: str
    due: int
    channel: str
    data: Any


async def scheduled_messages(store: Store, topology: Topology) -> list[ScheduledMessage]:
    """Return what is sent later, the next first. What comes or goes meanwhile may be missed."""
    found = []
    for shard in store.shards:
        async for member, due in _members(shard):
            each = scheduled(shard.keys, member)
            data = visible(topology.catalog, each.type, each.data, each.version)
            found.append(ScheduledMessage(each.id, each.type, due, each.channel, data))
    return sorted(found, key=lambda each: each.due)


async def cancel(store: Store, id: str) -> bool:
    """Cancel what is sent later; tell whether it was still waiting. Its id counts as sent all the same, so
    that a sender who repeats it does not bring it back. Raises InvalidMessage for what can be no id.
    """
    checked_id(id)  # so that it holds nothing that a pattern would take for more
    for shard in store.shards:
        zset = shard.keys.scheduled
        for member in await shard.queries.beginning(zset, f"{id}\0*"):
            if await shard.settler.settle(Transition((), [fire(zset, member)])) == APPLIED:
                return True
    return False


async def _members(shard: Shard) -> AsyncIterator[tuple[bytes, int]]:
    start = 0
    while page := await shard.queries.dated(shard.keys.scheduled, start, PAGE):
        for member, due in page:
            if not is_tick(member):
                yield member, due
        start += len(page)
