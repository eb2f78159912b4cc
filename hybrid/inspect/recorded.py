"""The record of a flow, wherever in a store it stands."""

from __future__ import annotations

from hybrid.broker.shard import Shard, Store
from hybrid.errors import UnknownFlow
from hybrid.mediator.record import FlowRecord


async def record_of(store: Store, flow: str) -> tuple[Shard, FlowRecord]:
    """Return a flow's record, and the shard where it stands. Raises UnknownFlow, also for one that has not
    begun.
    """
    for shard in store.shards:
        record = FlowRecord.read(flow, await shard.queries.hash(shard.keys.flow(flow)))
        if record.begun:
            return shard, record
    raise UnknownFlow(flow)
