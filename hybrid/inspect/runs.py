"""The runs of a flow: a restart, a promotion and `flow.continue_as_new` begin another one."""

from __future__ import annotations

from hybrid.broker.shard import Shard
from hybrid.errors import UnknownFlow
from hybrid.mediator.record import FlowRecord

MOST = 50
"""So many earlier runs of a flow are looked for."""


async def runs(shard: Shard, newest: FlowRecord) -> tuple[int, ...]:
    """Return the runs of a flow that are on record; of one that has had many, of the newest."""
    earlier = range(max(1, newest.run - MOST), newest.run)
    kept = await shard.queries.exist([shard.keys.past(newest.id, run) for run in earlier])
    return (*(run for run, there in zip(earlier, kept, strict=True) if there), newest.run)


async def run_of(shard: Shard, newest: FlowRecord, run: int) -> FlowRecord:
    """Return the record of a run of a flow; 0 is the newest. Raises UnknownFlow."""
    if run in (0, newest.run):
        return newest
    if fields := await shard.queries.hash(shard.keys.past(newest.id, run)):
        return FlowRecord.read(newest.id, fields)
    raise UnknownFlow(f"{newest.id}, run {run}")
