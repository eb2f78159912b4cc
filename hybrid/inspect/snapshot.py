"""The snapshot: one look at a store, for the live console. It samples: rates come from counters, and of what
flows only the newest is read. It reads Redis only, and creates nothing there.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hybrid.broker.failures import Failure
from hybrid.broker.shard import Shard, Store
from hybrid.inspect.desk import KINDS, Group, groups
from hybrid.inspect.failures import FailureView, view
from hybrid.inspect.flows import FlowSummary, LogLine, entries_of_log, summary
from hybrid.inspect.ledger import GroupLedger, ledger
from hybrid.inspect.status import ConsumerStatus, consumers_of, kind_of
from hybrid.inspect.tasks import TaskView, open_tasks
from hybrid.mediator.record import FlowRecord
from hybrid.streams.connection import url_shown
from hybrid.topology import Topology

COMMANDS = 14
"""About how many commands one look costs per shard; the console keeps them below 20 a second."""
NEWEST = 400
"""So many of the newest deliveries are kept."""
PAGE = 40
"""Entries of the log (up to 32 deliveries each), flows, and failures of a component that one look reads."""
RECOUNT = 10.0
"""Seconds between two counts of a large desk by cause."""
HISTORY = 60
"""So many looks a sparkline goes back."""
SUMMED = ("settled", "waiting", "pending", "later", "failed", "missing")


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """One channel as one group sees it. Rates are per second; `oldest` is an age in ms; `backlog` has what
    waited at the last looks, oldest first.
    """

    channel: str
    group: str
    shard: int
    waiting: int
    pending: int
    oldest: int
    entering: float
    consumers: int
    backlog: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """One component. Rates are per second; `rates` has those of the last looks, oldest first."""

    name: str
    kind: str
    settling: float
    settled: int
    waiting: int
    pending: int
    later: int
    failed: int
    consumers: int
    missing: int
    rates: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A store at one time (ms)."""

    at: int
    app: str
    address: str
    interval: float
    """Seconds since the look before."""
    channels: tuple[ChannelRow, ...]
    components: tuple[ComponentRow, ...]
    consumers: tuple[ConsumerStatus, ...]
    flows: tuple[FlowSummary, ...]
    """The newest unfinished flows."""
    unfinished: int
    ended: Mapping[str, int]
    """Initiating events that have ended since the console was opened, by how."""
    deliveries: tuple[LogLine, ...]
    """The newest deliveries, newest last."""
    sampled: bool
    """Whether there were more deliveries than were read."""
    failures: tuple[FailureView, ...]
    rates: tuple[float, ...]
    """Deliveries settled per second at the last looks, oldest first."""
    groups: tuple[Group, ...] = ()
    """The failures by cause, the largest group first."""
    tasks: tuple[TaskView, ...] = ()
    """The tasks of people that have been open longest."""
    asked: int = 0
    """How many tasks are open."""

    @property
    def waiting(self) -> int:
        """How many deliveries wait."""
        return sum(row.waiting for row in self.channels)

    @property
    def failed(self) -> int:
        """How many deliveries have failed for good."""
        return sum(row.failed for row in self.components)


@dataclass(frozen=True, slots=True)
class _Causes:
    """The groups of failures as they were counted last, when, and what was at the desk then."""

    state: tuple[object, ...] = ()
    looked: float = 0.0
    groups: tuple[Group, ...] = ()


class Sampler:
    """Takes snapshots of a store, one after the other, and remembers what rates and sparklines need."""

    def __init__(self, store: Store, topology: Topology, name: str) -> None:
        self.interval = max(1.0, COMMANDS * len(store.shards) / 18)
        """The least time (s) between two looks."""
        self._store = store
        self._topology = topology
        self._name = name
        self._looked = 0.0
        self._counts: dict[str, int] = {}
        self._histories: dict[str, deque[float]] = {}
        self._log: dict[int, str] = {}
        self._ends: dict[int, str] = {}
        self._lines: deque[LogLine] = deque(maxlen=NEWEST)
        self._ended: Counter[str] = Counter()
        self._causes = _Causes()

    async def take(self) -> Snapshot:
        """Return a snapshot. Raises ServerUnavailable and ServerError."""
        shards = self._store.shards
        now = await shards[0].queries.now()
        books = (await ledger(self._store, self._topology)).groups
        consumers = await consumers_of(self._store)
        left_out = [await self._read_log(shard) for shard in shards]
        for shard in shards:
            await self._read_ends(shard)
        flows = [flow for shard in shards for flow in await _flows(shard)]
        unfinished = [await shard.queries.size(shard.keys.flows) for shard in shards]
        asked = sum([await shard.queries.size(shard.keys.tasks) for shard in shards])
        failures = await self._failures(books)
        causes = await self._groups(books, failures)
        looked = time.monotonic()
        elapsed, self._looked = looked - self._looked if self._looked else 0.0, looked
        components = tuple(self._components(books, consumers, elapsed))
        settling = sum(row.settling for row in components)
        return Snapshot(
            at=now,
            app=self._name,
            address=url_shown(self._store.url),
            interval=elapsed,
            channels=tuple(self._channels(books, consumers, now, elapsed)),
            components=components,
            consumers=tuple(consumers),
            flows=tuple(sorted(flows, key=lambda flow: -flow.started)[:PAGE]),
            unfinished=sum(unfinished),
            ended=dict(self._ended),
            deliveries=tuple(self._lines),
            sampled=any(left_out),
            failures=failures,
            rates=self._history("settled", settling),
            groups=causes,
            tasks=tuple(await open_tasks(self._store, most=PAGE)) if asked else (),
            asked=asked,
        )

    async def _read_log(self, shard: Shard) -> bool:
        """Read the newest of what was settled since the look before; tell whether there was more."""
        last = self._log.get(shard.number)
        entries = await shard.queries.newest(shard.keys.log, most=PAGE)
        new = [(id, fields) for id, fields in entries if last is None or _is_after(id.decode(), last)]
        if entries:
            self._log[shard.number] = entries[0][0].decode()
        self._lines.extend(entries_of_log(new[::-1]))
        return last is not None and len(new) == PAGE

    async def _read_ends(self, shard: Shard) -> None:
        last = self._ends.get(shard.number)
        if last is None:
            newest = await shard.queries.newest(shard.keys.outcomes, most=1)
            self._ends[shard.number] = newest[0][0].decode() if newest else "0"
            return
        while entries := await shard.queries.range(shard.keys.outcomes, f"({last}", most=5_000):
            self._ended.update(fields.get(b"state", b"").decode() for _, fields in entries)
            self._ends[shard.number] = last = entries[-1][0].decode()
            if len(entries) < 5_000:
                return

    async def _failures(self, groups: Sequence[GroupLedger]) -> tuple[FailureView, ...]:
        """Return the newest failures, of the few components that have the most."""
        worst = sorted((group for group in groups if group.failed), key=lambda group: -group.failed)[:3]
        found = []
        for group in worst:
            shard = self._store.shards[group.shard]
            for entry, fields in await shard.queries.newest(shard.keys.failed(group.group), most=PAGE):
                found.append(view(self._topology, shard, Failure.read(group.group, entry, fields)))
        return tuple(sorted(found, key=lambda failure: -failure.failed)[:PAGE])

    async def _groups(
        self, books: Sequence[GroupLedger], failures: Sequence[FailureView]
    ) -> tuple[Group, ...]:
        """Return the failures by cause: counted anew when they have changed, large desks less often."""
        failed = sum(group.failed for group in books)
        state = (failed, *(failure.id for failure in failures))
        known, now = self._causes, time.monotonic()
        if state != known.state and now - known.looked >= (RECOUNT if failed > KINDS else 0):
            found = tuple(await groups(self._store, self._topology)) if failed else ()
            self._causes = _Causes(state, now, found)
        return self._causes.groups

    def _channels(
        self, groups: Sequence[GroupLedger], consumers: Sequence[ConsumerStatus], now: int, elapsed: float
    ) -> Iterable[ChannelRow]:
        for group in groups:
            alive = _alive(consumers, group.group)
            for channel in group.channels:
                place = f"{channel.channel}|{group.group}|{group.shard}"
                backlog = channel.waiting + channel.pending
                yield ChannelRow(
                    channel=channel.channel,
                    group=group.group,
                    shard=group.shard,
                    waiting=channel.waiting,
                    pending=channel.pending,
                    oldest=max(now - channel.oldest, 0) if channel.oldest else 0,
                    entering=self._rate(place, channel.entered, elapsed),
                    consumers=alive,
                    backlog=self._history(place, backlog),
                )

    def _components(
        self, groups: Sequence[GroupLedger], consumers: Sequence[ConsumerStatus], elapsed: float
    ) -> Iterable[ComponentRow]:
        for name in dict.fromkeys(group.group for group in groups):
            rows = [group for group in groups if group.group == name]
            total = {what: sum(getattr(row, what) for row in rows) for what in SUMMED}
            settling = self._rate(f"settled|{name}", total["settled"], elapsed)
            yield ComponentRow(
                name=name,
                kind=kind_of(self._topology, name),
                settling=settling,
                consumers=_alive(consumers, name),
                rates=self._history(f"settling|{name}", settling),
                **total,
            )

    def _rate(self, name: str, count: int, elapsed: float) -> float:
        """Return how much a counter has grown per second since the look before."""
        before, self._counts[name] = self._counts.get(name, count), count
        return max(count - before, 0) / elapsed if elapsed else 0.0

    def _history(self, name: str, value: float) -> tuple[float, ...]:
        history = self._histories.setdefault(name, deque(maxlen=HISTORY))
        history.append(value)
        return tuple(history)


async def _flows(shard: Shard) -> list[FlowSummary]:
    """Return the newest unfinished flows of a shard."""
    ids = [id for id, _ in await shard.queries.scored(shard.keys.flows, PAGE, newest=True)]
    if not ids:
        return []
    hashes = await shard.queries.hashes([shard.keys.flow(id) for id in ids])
    return [summary(FlowRecord.read(id, fields)) for id, fields in zip(ids, hashes, strict=True) if fields]


def _alive(consumers: Sequence[ConsumerStatus], component: str) -> int:
    return sum(consumer.alive and component in consumer.components for consumer in consumers)


def _is_after(id: str, other: str) -> bool:
    return tuple(map(int, id.split("-"))) > tuple(map(int, other.split("-")))
