"""The pulse: what goes through a store, as it goes, for pictures that move. Reads Redis only: it can be
closed and opened again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from hybrid.broker.log import DONE, RETRIED
from hybrid.broker.shard import Shard, Store
from hybrid.inspect.flows import LogLine, entries_of_log
from hybrid.inspect.ledger import GroupLedger, ledger
from hybrid.topology import Topology

PAGE = 5_000
RECENT = 50
"""So many of the newest deliveries are kept for the picture."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What has gone through since the reader began, and what is on its way now. `at` in ms."""

    at: int
    outcomes: Mapping[str, int]
    """Initiating events by how they ended."""
    unfinished: int
    entered: Mapping[str, int]
    """Messages by channel."""
    settled: Mapping[str, int]
    """Deliveries by component."""
    retried: int
    heard: Mapping[tuple[str, str], int]
    """Broadcasts handled by (event type, component)."""
    groups: tuple[GroupLedger, ...]
    recent: tuple[LogLine, ...]
    """The newest deliveries, oldest first."""

    @property
    def ended(self) -> int:
        """How many initiating events have ended."""
        return sum(self.outcomes.values())

    @property
    def deliveries(self) -> int:
        """How many deliveries were settled."""
        return sum(self.settled.values())

    @property
    def outstanding(self) -> int:
        """How many deliveries are still to be done."""
        return sum(each.waiting + each.pending + each.repair + each.later for each in self.groups)

    @property
    def failed(self) -> int:
        """How many deliveries have failed for good."""
        return sum(group.failed for group in self.groups)

    def messages(self, kind: str) -> dict[str, int]:
        """Return how many messages entered, by type: of the `topic`s or of the `command` queues."""
        prefix = f"{kind}:"
        return {name.removeprefix(prefix): n for name, n in self.entered.items() if name.startswith(prefix)}


@dataclass(slots=True)
class PulseReader:
    """Takes the pulse of a store again and again; remembers how far it has read."""

    store: Store
    topology: Topology
    _log: dict[int, str] = field(default_factory=dict)
    _ends: dict[int, str] = field(default_factory=dict)
    _state: dict[str, str] = field(default_factory=dict)
    _heard: Counter[tuple[str, str]] = field(default_factory=Counter)
    _retried: int = 0
    _recent: deque[LogLine] = field(default_factory=lambda: deque(maxlen=RECENT))
    spans: list[int] = field(default_factory=list)
    """Of each handled delivery the time (ms) from taken to settled."""

    listening: dict[str, set[str]] = field(init=False)
    """The events that each component listens to."""

    def __post_init__(self) -> None:
        topology = self.topology
        self.listening = {name: {e.type_name for e in topology.topics_of(name)} for name in topology.names}

    async def take(self) -> Pulse:
        """Return the pulse now."""
        entered: Counter[str] = Counter()
        settled: Counter[str] = Counter()
        unfinished = 0
        for shard in self.store.shards:
            await self._read_log(shard)
            await self._read_ends(shard)
            for raw, number in (await shard.queries.hash(shard.keys.counters)).items():
                kind, _, what = raw.decode().partition(":")
                if kind in ("entered", "settled"):
                    (entered if kind == "entered" else settled)[what] += int(number)
            unfinished += await shard.queries.size(shard.keys.flows)
        books = await ledger(self.store, self.topology)
        now = await self.store.shards[0].queries.now()
        states = Counter(self._state.values())
        heard, recent = dict(self._heard), tuple(self._recent)
        return Pulse(now, states, unfinished, entered, settled, self._retried, heard, books.groups, recent)

    async def _read_log(self, shard: Shard) -> None:
        while entries := await shard.queries.range(
            shard.keys.log, self._log.get(shard.number, "-"), most=PAGE
        ):
            for line in entries_of_log(entries):
                self._recent.append(line)
                self._retried += line.outcome == RETRIED
                if line.outcome == DONE:
                    self.spans.append(line.settled - line.taken)
                    if line.type in self.listening.get(line.component, ()):
                        self._heard[line.type, line.component] += 1
            self._log[shard.number] = f"({entries[-1][0].decode()}"

    async def _read_ends(self, shard: Shard) -> None:
        while entries := await shard.queries.range(
            shard.keys.outcomes, self._ends.get(shard.number, "-"), most=PAGE
        ):
            for _, fields in entries:
                self._state[fields[b"flow"].decode()] = fields[b"state"].decode()
            self._ends[shard.number] = f"({entries[-1][0].decode()}"
