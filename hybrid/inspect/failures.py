"""The failures: what no retry could cure, as people see it; and sending it back to the one group in which it
failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid.broker.failures import Failure
from hybrid.broker.shard import Shard, Store
from hybrid.inspect.ledger import layout
from hybrid.inspect.shown import visible
from hybrid.repair.ways import sent_back
from hybrid.streams.transitions import APPLIED
from hybrid.topology import Topology

PAGE = 500


@dataclass(frozen=True, slots=True)
class FailureView:
    """One failed delivery. `id` is its handle, COMPONENT/ENTRY (and /SHARD past the first). Times in ms."""

    id: str
    component: str
    handler: str
    channel: str
    type: str
    message: str
    """The message's id."""
    flow: str
    step: int
    key: str
    error: str
    reason: str
    attempts: int
    sent: int
    failed: int
    data: Any
    traceback: str
    source: tuple[Shard, Failure] = field(repr=False, compare=False)

    def facts(self) -> dict[str, Any]:
        """Return it as plain data, without where it came from."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "source"}

    def answers_to(self, name: str) -> bool:
        """Tell whether this is a name for it: its handle, its entry, its message's id, or its flow's."""
        return name in (self.id, self.source[1].entry, self.message, self.flow) and bool(name)


async def failures(store: Store, topology: Topology) -> AsyncIterator[FailureView]:
    """Yield all failures, group by group, oldest first."""
    for shard in store.shards:
        for name in [group for group in await layout(shard, topology) if group]:
            after = "-"
            while entries := await shard.queries.range(shard.keys.failed(name), after, most=PAGE):
                for entry, fields in entries:
                    yield view(topology, shard, Failure.read(name, entry, fields))
                after = f"({entries[-1][0].decode()}"


def view(topology: Topology, shard: Shard, failure: Failure) -> FailureView:
    """Return a failure as people see it."""
    envelope = failure.envelope
    wake = failure.fields.get(b"flow", b"").decode(errors="replace")
    type = failure.fields.get(b"type", b"").decode(errors="replace")
    tail = f"/{shard.number}" if shard.number else ""
    in_flow = (
        ""
        if envelope is None
        else envelope.flow or (envelope.id if failure.component in topology.mediators else "")
    )
    return FailureView(
        f"{failure.component}/{failure.entry}{tail}",
        failure.component,
        failure.handler,
        failure.channel,
        type,
        envelope.id if envelope else "",
        in_flow or wake,
        envelope.step if envelope else 0,
        envelope.key if envelope else "",
        failure.error,
        failure.message,
        failure.attempts,
        envelope.time if envelope else 0,
        failure.failed,
        visible(topology.catalog, type, failure.data) if b"data" in failure.fields else None,
        failure.traceback,
        (shard, failure),
    )


async def named(store: Store, topology: Topology, name: str) -> list[FailureView]:
    """Return the failures that answer to a name: a handle, an entry, the id of a message or of a flow."""
    return [found async for found in failures(store, topology) if found.answers_to(name)]


async def retry(found: Iterable[FailureView]) -> list[bool]:
    """Send failures back to the groups in which they failed; return for each whether it was, or was handled
    already.
    """
    work: Sequence[FailureView] = list(found)
    sources = [view.source for view in work]
    codes = await asyncio.gather(
        *(shard.settler.settle(sent_back(shard.keys, failure)) for shard, failure in sources)
    )
    return [code == APPLIED for code in codes]
