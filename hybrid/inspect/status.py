"""The status: how much waits where and since when, who consumes, and whether it is in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import msgpack

from hybrid.broker.shard import Shard, Store
from hybrid.inspect.flows import summary
from hybrid.inspect.ledger import NOBODY, GroupLedger, Ledger, ledger
from hybrid.inspect.loose import Loose, loose_flows
from hybrid.keys import QUEUE_GROUP
from hybrid.mediator.record import FAILED, RUNNING, FlowRecord
from hybrid.topology import Topology

RETIRED = "retired"
SILENT = 5_000
"""After so many ms, and twice the longest blocking read, without a read by anybody, what waits is not being
consumed.
"""


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """A worker, as it enrolled itself. `alive` is whether it has its lease; `since` in ms."""

    name: str
    host: str
    pid: int
    components: tuple[str, ...]
    since: int
    alive: bool


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """One component. `oldest` is the age (ms) of its oldest unsettled entry, 0 for none."""

    name: str
    kind: str
    consumers: int
    waiting: int
    pending: int
    repair: int
    later: int
    held: int
    failed: int
    oldest: int
    problem: str


@dataclass(frozen=True, slots=True)
class Status:
    """The whole store at one time (ms). `loose` is None when it was not looked for."""

    store: str
    at: int
    groups: tuple[GroupStatus, ...]
    consumers: tuple[ConsumerStatus, ...]
    flows: dict[str, int]
    """Flows by state; ended ones as far as they are kept."""
    ledger: Ledger
    loose: tuple[Loose, ...] | None
    scheduled: int = 0
    """How many messages and ticks of schedules wait to be sent: they have entered nothing yet."""

    @property
    def failures(self) -> int:
        """How many deliveries have failed for good."""
        return sum(group.failed for group in self.groups)

    @property
    def problems(self) -> list[str]:
        """What is not in order: what is not consumed, what nobody will ever read, what is nowhere."""
        found = [group.problem for group in self.groups if group.problem and group.kind == RETIRED]
        found += [f"flow {flow.flow} waits for what is nowhere: {flow.missing}" for flow in self.loose or ()]
        return [*self.sickness, *found]

    @property
    def sickness(self) -> list[str]:
        """What a health probe complains of: components that are not consumed, books that do not balance."""
        ours = [group for group in self.groups if group.kind != RETIRED]
        found = [group.problem for group in ours if group.problem]
        if ours and not any(group.consumers for group in ours):
            found = ["nobody consumes: no worker lives (`hybrid run` starts one)"]
        if not self.ledger.balanced:
            found += [
                f"{group.group or 'commands that nobody handles'}: the ledger does not balance,"
                f" {group.missing:,} entered and are nowhere"
                for group in self.ledger.groups
                if group.missing
            ]
        return found


async def status(store: Store, topology: Topology, *, deep: bool = True) -> Status:
    """Return the status. `deep` looks for loose flows too, which reads all that is outstanding."""
    books = await ledger(store, topology)
    consumers = await consumers_of(store)
    now = await store.shards[0].queries.now()
    silent = SILENT + 2 * store.settings.block_ms
    groups = []
    for name in dict.fromkeys(group.group for group in books.groups):
        rows = [group for group in books.groups if group.group == name]
        starved = [
            channel for row in rows for channel in await _starved(store.shards[row.shard], row, now, silent)
        ]
        groups.append(_group(name, kind_of(topology, name), rows, consumers, now, starved))
    flows = await flows_by_state(store)
    loose = tuple(await loose_flows(store, topology)) if deep else None
    scheduled = sum([await shard.queries.size(shard.keys.scheduled) for shard in store.shards])
    prefix = store.shards[0].keys.prefix
    return Status(prefix, now, tuple(groups), tuple(consumers), flows, books, loose, scheduled)


async def consumers_of(store: Store) -> list[ConsumerStatus]:
    """Return the workers that have enrolled and not left."""
    shard = store.shards[0]
    enrolled = await shard.queries.hash(shard.keys.consumers)
    names = [name.decode() for name in enrolled]
    alive = await shard.queries.exist([shard.keys.lease(name) for name in names]) if names else []
    found = []
    for name, lives, packed in zip(names, alive, enrolled.values(), strict=True):
        host, pid, components, since = msgpack.unpackb(packed)[:4]
        found.append(ConsumerStatus(name, host, pid, tuple(components), since, lives))
    return sorted(found, key=lambda consumer: (not consumer.alive, consumer.since))


async def flows_by_state(store: Store, most: int = 10_000) -> dict[str, int]:
    """Return how many flows there are in each state."""
    states: Counter[str] = Counter({RUNNING: 0, FAILED: 0})
    for shard in store.shards:
        unfinished = await shard.queries.size(shard.keys.flows)
        ids = [id for id, _ in await shard.queries.scored(shard.keys.flows, most)]
        failed = 0
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            hashes = await shard.queries.hashes([shard.keys.flow(id) for id in some])
            records = [FlowRecord.read(id, fields) for id, fields in zip(some, hashes, strict=True)]
            failed += sum(summary(record).state == FAILED for record in records)
        states[FAILED] += failed
        states[RUNNING] += unfinished - failed
        states.update(await _ended(shard))
    return {state: count for state, count in states.items() if count or state in (RUNNING, FAILED)}


async def _ended(shard: Shard) -> Counter[str]:
    states: Counter[str] = Counter()
    after = "-"
    while entries := await shard.queries.range(shard.keys.outcomes, after, most=5_000):
        states.update(
            fields[b"state"].decode() for _, fields in entries if fields[b"state"] != FAILED.encode()
        )
        after = f"({entries[-1][0].decode()}"
    return states


async def _starved(shard: Shard, row: GroupLedger, now: int, silent: int) -> list[str]:
    """Return the channels where something has waited long, and nobody has read or is at work."""
    found = []
    for channel in row.channels:
        if not channel.waiting or now - channel.oldest < silent:
            continue
        group = row.group if channel.channel.startswith("topic:") else QUEUE_GROUP
        readers = await shard.queries.readers(shard.keys.prefix + channel.channel, group)
        leases = (
            await shard.queries.exist([shard.keys.lease(name) for name, _, _ in readers]) if readers else []
        )
        busy = [
            alive and (pending > 0 or idle < silent)
            for (_, pending, idle), alive in zip(readers, leases, strict=True)
        ]
        if not any(busy):
            found.append(channel.channel)
    return found


def _group(
    name: str,
    kind: str,
    rows: list[GroupLedger],
    consumers: list[ConsumerStatus],
    now: int,
    starved: list[str],
) -> GroupStatus:
    alive = sum(consumer.alive and name in consumer.components for consumer in consumers)
    waiting, pending, repair, later, held, failed = (
        sum(getattr(row, what) for row in rows)
        for what in ("waiting", "pending", "repair", "later", "held", "failed")
    )
    lost = waiting + pending + repair + later + held
    oldest = min((channel.oldest for row in rows for channel in row.channels if channel.oldest), default=0)
    problem = ""
    if name == NOBODY and waiting:
        channels = ", ".join(channel.channel for row in rows for channel in row.channels if channel.waiting)
        problem = f"{waiting:,} waiting command(s) that no processor handles: {channels}"
    elif kind == RETIRED and lost:
        problem = f"{name}: {lost:,} wait, and the application has no such component any more"
    elif kind != RETIRED and not alive:
        problem = f"{name}: nobody consumes (no living worker has it)"
    elif starved:
        problem = f"{name}: nobody has read {', '.join(starved)} lately, and something waits there"
    age = max(now - oldest, 0) if oldest else 0
    return GroupStatus(name, kind, alive, waiting, pending, repair, later, held, failed, age, problem)


def kind_of(topology: Topology, name: str) -> str:
    """Return what a component is: simple mediator, mediator, processor, workflow processor, or retired."""
    if name in topology.fronts:
        return "simple mediator"
    if name in topology.mediators:
        return "mediator"
    if name in topology.fixers:
        return "workflow processor"
    return "processor" if name in topology.processors else RETIRED
