"""Handing back: what a leaving worker has read and not started goes back to its group, in one settle each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from hybrid.broker.outputs import again_output
from hybrid.runtime.delivery import Delivery, Lane
from hybrid.streams.transitions import Item, Transition, ack, hdel


async def hand_back(dropped: Iterable[Delivery], lanes: Sequence[Lane]) -> int:
    """Put deliveries that were not started back for their group alone; return how many.

    Without this they would wait until the worker's lease is over. Raises ServerUnavailable; what could not
    be handed back then stays pending and is taken over.
    """
    waiting = list(dropped)
    codes = await asyncio.gather(*(d.lane.shard.settler.settle(_back(d)) for d in waiting))
    for delivery in waiting:
        delivery.lane.release(delivery)
    return sum(code == 1 for code in codes)


def _back(delivery: Delivery) -> Transition:
    lane = delivery.lane
    fields = dict(delivery.fields)
    fields.setdefault(b"time", delivery.entry.partition(b"-")[0])
    claim = ack(lane.stream, lane.group, delivery.entry, lane.queue)
    effects: list[Item] = [again_output(lane.shard.keys, lane.component, fields, lane.again)]
    if delivery.taken_over:
        effects.append(hdel(lane.shard.keys.starts, delivery.unit))
    return Transition((), (claim,), effects)
