"""What people have done with a flow, as its history tells: who, what, why, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hybrid.broker.shard import Shard
from hybrid.codec import unpack
from hybrid.mediator.record import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PROMOTED,
    REFUSED,
    RUNNING,
    SIGNAL,
    UNDOING,
)

ADVANCES = {RUNNING, COMPLETED, REFUSED, FAILED, CANCELLED, UNDOING, PROMOTED}
"""What a line of a history begins with that a mediator wrote: the flow's state."""


@dataclass(frozen=True, slots=True)
class DeedView:
    """What somebody did with a flow: its verb, as `pause`, and what belongs to it. `at` in ms."""

    at: int
    what: str
    who: str
    why: str
    details: tuple[Any, ...] = ()


async def deeds(shard: Shard, flow: str) -> tuple[DeedView, ...]:
    """Return what people have done with a flow, in the order in which they did. Signals are told with the
    steps that take them.
    """
    lines = [unpack(line) for line in await shard.queries.whole_list(shard.keys.history(flow))]
    return tuple(
        DeedView(at, what, who, why, tuple(details))
        for at, what, rows in lines
        if what not in ADVANCES and what != SIGNAL
        for who, why, *details in rows
    )
