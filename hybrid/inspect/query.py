"""Which flows: a query, and the records that it selects, read in pages however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from hybrid.broker.shard import Shard, Store
from hybrid.catalog import Catalog
from hybrid.inspect.shown import told, visible
from hybrid.mediator.record import CANCELLED, COMPLETED, FAILED, REFUSED, RUNNING, UNDOING, FlowRecord
from hybrid.messages import kebab
from hybrid.topology import Topology

PAGE = 200
"""Records that are read in one go."""
ENDS = 1_000
"""Lines of the list of ended flows that are read in one go."""
PAUSED = "paused"
"""What people call the state of a flow that goes on only when it is resumed."""
OVER = (COMPLETED, REFUSED, CANCELLED)
"""States of flows that have ended; a failed one may have, or may not."""
STATES = (RUNNING, PAUSED, UNDOING, FAILED, *OVER)
"""What `state_of` may say."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which flows; what is left empty lets all pass. `before`: those that started before a time (ms)."""

    state: str = ""
    type: str = ""
    event_class: str = ""
    mediator: str = ""
    key: str = ""
    step: str = ""
    """The number or the name of the step at which a flow is: one that it waits for."""
    before: int = 0
    where: tuple[tuple[str, str], ...] = ()
    """Pairs of a field of the initiating event (dots lead inwards) and what it shows; what is secret is shown
    masked.
    """
    ended: bool = False
    """Whether flows that have ended are looked at when no state says so."""

    @property
    def reads_unfinished(self) -> bool:
        """Whether flows that go on can be among them."""
        return self.state not in OVER

    @property
    def reads_ended(self) -> bool:
        """Whether flows that have ended can be among them."""
        return self.state in OVER or (self.ended and self.state in ("", FAILED))

    def takes(self, record: FlowRecord, catalog: Catalog) -> bool:
        """Tell whether a flow is taken."""
        facts = record.facts
        named = (
            ("type", self.type),
            ("class", self.event_class),
            ("mediator", self.mediator),
            ("key", self.key),
        )
        return (
            all(wanted in ("", facts.get(name, "")) for name, wanted in named)
            and self.state in ("", state_of(record))
            and not 0 < self.before <= int(facts.get("started", 0))
            and (not self.step or self._is_at_step(record))
            and (
                not self.where
                or self._takes_event(visible(catalog, facts.get("type", ""), record.event, record.schema))
            )
        )

    def _is_at_step(self, record: FlowRecord) -> bool:
        names = {self.step, kebab(self.step)}
        return any(
            str(number) == self.step or names & {record.steps[number].name, record.steps[number].label}
            for number in at_steps(record)
        )

    def _takes_event(self, data: object) -> bool:
        return all(told(data, path) == value for path, value in self.where)


ALL = Query(ended=True)
"""All flows."""


def state_of(record: FlowRecord) -> str:
    """Return the state of a flow as people see it: one with a step that failed counts as failed."""
    if record.ended:
        return record.state
    return PAUSED if record.paused else FAILED if record.failed else record.state


def at_steps(record: FlowRecord) -> list[int]:
    """Return the steps at which a flow is: those that it waits for; if none, the newest one; none of one that
    has ended.
    """
    if record.ended or not record.steps:
        return []
    return sorted(record.waits & record.steps.keys()) or [max(record.steps)]


async def selected(store: Store, topology: Topology, query: Query) -> AsyncIterator[FlowRecord]:
    """Yield the flows that a query takes, each once: those that go on, oldest first in each shard, then those
    that have ended. What starts meanwhile is left out.
    """
    for shard in store.shards:
        async for record in records(shard, topology, query):
            yield record


async def count(store: Store, topology: Topology, query: Query) -> int:
    """Return how many flows a query takes."""
    return sum([1 async for _ in selected(store, topology, query)])


async def records(
    shard: Shard, topology: Topology, query: Query, *, newest: bool = False
) -> AsyncIterator[FlowRecord]:
    """Yield the flows of a shard that a query takes: those that go on, oldest or newest first; then those
    that have ended, newest first.
    """
    if query.reads_unfinished:
        async for ids in _unfinished(shard, query.before, newest):
            for record in await _read(shard, ids):
                if query.takes(record, topology.catalog):
                    yield record
    if query.reads_ended:
        async for ids in _ended(shard, query.state):
            for record in await _read(shard, ids):
                if record.ended and query.takes(record, topology.catalog):
                    yield record


async def _unfinished(shard: Shard, before: int, newest: bool) -> AsyncIterator[list[str]]:
    """Yield the ids of the unfinished flows that are there now, in pages. A page goes on from the time at
    which the one before it ended, not from its rank: flows end while they are looked at.
    """
    flows, between = shard.keys.flows, shard.queries.between
    last = await shard.queries.scored(flows, 1, newest=True)
    low, high = 0, max((at for _, at in last), default=-1)
    high = min(high, before - 1) if before else high
    while low <= high:
        rows = await between(flows, low, high, PAGE, newest)
        if len(rows) == PAGE:
            edge = rows[-1][1]
            if rows[0][1] == edge:  # all of one millisecond, and there may be more of it
                rows, edge = await between(flows, edge, edge, -1, newest), edge + (-1 if newest else 1)
            else:
                rows = [row for row in rows if row[1] != edge]
            low, high = (low, edge) if newest else (edge, high)
            yield [id for id, _ in rows]
        else:
            yield [id for id, _ in rows]
            return


async def _ended(shard: Shard, state: str) -> AsyncIterator[list[str]]:
    """Yield the ids of the flows that have ended, in pages, each id once; of one state only."""
    seen: set[str] = set()
    last = "+"
    while entries := await shard.queries.newest(shard.keys.outcomes, last, ENDS):
        wanted = [fields for _, fields in entries if state in ("", fields.get(b"state", b"").decode())]
        ids = [id for id in dict.fromkeys(fields[b"flow"].decode() for fields in wanted) if id not in seen]
        seen.update(ids)
        for start in range(0, len(ids), PAGE):
            yield ids[start : start + PAGE]
        last = f"({entries[-1][0].decode()}"


async def _read(shard: Shard, ids: list[str]) -> list[FlowRecord]:
    """Return the records of flows; none of those that are gone."""
    hashes = await shard.queries.hashes([shard.keys.flow(id) for id in ids]) if ids else []
    return [FlowRecord.read(id, fields) for id, fields in zip(ids, hashes, strict=True) if fields]
