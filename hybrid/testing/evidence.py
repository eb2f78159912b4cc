"""The evidence: what an application under test did, as its store shows it. Nothing here waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from hybrid.broker.failures import Failure
from hybrid.broker.shard import Shard
from hybrid.client import Outcome, Receipt, outcome_of
from hybrid.envelope import from_fields
from hybrid.errors import UnknownFlow
from hybrid.inspect.flows import FlowView, entries_of_log, view
from hybrid.mediator.record import RUNNING, UNDOING, FlowRecord
from hybrid.messages import Command, Event, Message
from hybrid.streams.sync import SyncReads
from hybrid.streams.transitions import Item
from hybrid.testing.recorded import Recorded, replay
from hybrid.testing.recorder import flat_fields
from hybrid.topology import Topology

M = TypeVar("M", bound=Message)


class Evidence:
    """What a test asserts on. A flow is named by its id, or by the receipt of what was sent."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._sent: list[Command] = []
        """The commands that were sent: a queue forgets them as soon as they are done."""

    @property
    def _reads(self) -> SyncReads:
        raise NotImplementedError

    @property
    def _shards(self) -> Sequence[Shard]:
        raise NotImplementedError

    @property
    def now(self) -> datetime:
        """The time (UTC) in this bed."""
        skipped = self._reads.hash(self._shards[0].keys.counters).get(b"skipped", b"0")
        return datetime.fromtimestamp((self._reads.server_time() + int(skipped)) / 1000, UTC)

    def events(self, kind: type[M] | None = None) -> list[M]:
        """Return what was broadcast, oldest first, shard after shard: of a class of events, or all."""
        classes = [kind] if kind else [cls for cls in self.topology.catalog if issubclass(cls, Event)]
        found = []
        for shard in self._shards:
            rows = [row for cls in classes for row in self._reads.entries(shard.keys.topic(cls.type_name))]
            for entry, fields in sorted(rows, key=lambda row: tuple(map(int, row[0].split(b"-")))):
                envelope = from_fields(fields, entry)
                found.append(self.topology.catalog.decode(envelope.type, fields[b"data"], envelope.version))
        return found  # type: ignore[return-value]

    def event(self, kind: type[M]) -> M:
        """Return the one event of a class that was broadcast. Raises AssertionError when it is not just
        one.
        """
        return _only(kind, self.events(kind), self.events(), "broadcast")

    def commands(self, kind: type[M] | None = None) -> list[M]:
        """Return the commands that were sent, oldest first: of a class, or all."""
        return [command for command in self._sent if kind is None or isinstance(command, kind)]  # type: ignore[misc]

    def command(self, kind: type[M]) -> M:
        """Return the one command of a class that was sent. Raises AssertionError when it is not just one."""
        return _only(kind, self.commands(kind), self.commands(), "sent")

    def flow(self, flow: str | Receipt) -> FlowView:
        """Return a flow: its state, its steps, what it ended with. Raises UnknownFlow."""
        shard, record = self._record(id_of(flow))
        log = entries_of_log(self._reads.entries(shard.keys.log))
        return view(
            self.topology, record, [line for line in log if record.id in (line.correlation, line.flow)]
        )

    def outcome(self, flow: str | Receipt) -> Outcome:
        """Return how a flow, or a simple event, has ended; while it goes on its state is running, or undoing.
        Raises UnknownFlow.
        """
        id = id_of(flow)
        try:
            _, record = self._record(id)
        except UnknownFlow:
            for shard in self._shards:
                for _, fields in self._reads.entries(shard.keys.outcomes):
                    if fields[b"flow"] == id.encode():
                        return Outcome(id, fields[b"state"].decode())
            raise
        goes_on = UNDOING if record.state == UNDOING else RUNNING
        return outcome_of(record, self.topology.catalog) or Outcome(id, goes_on)

    def failures(self) -> list[Failure]:
        """Return what is at the desk, oldest first."""
        found = []
        for shard in self._shards:
            for name in self.topology.names:
                rows = self._reads.entries(shard.keys.failed(name))
                found += [Failure.read(name, entry, fields) for entry, fields in rows]
        return sorted(found, key=lambda failure: failure.failed)

    def replay(self, flows: Recorded | None = None) -> int:
        """Run recorded flows again on the application's code, those of a file that `hybrid flows export`
        wrote, or of this bed; return how many were checked. Raises as `hybrid.testing.replay`.
        """
        return replay(self, self._records() if flows is None else flows)

    def _records(self) -> Iterator[FlowRecord]:
        """Yield the records of all flows."""
        for shard in self._shards:
            ids = [member.decode() for member in self._reads.members(shard.keys.flows)]
            ids += [fields[b"flow"].decode() for _, fields in self._reads.entries(shard.keys.outcomes)]
            for id in dict.fromkeys(ids):
                record = FlowRecord.read(id, self._reads.hash(shard.keys.flow(id)))
                if record.begun:
                    yield record

    def _record(self, id: str) -> tuple[Shard, FlowRecord]:
        for shard in self._shards:
            record = FlowRecord.read(id, self._reads.hash(shard.keys.flow(id)))
            if record.begun:
                return shard, record
        raise UnknownFlow(id)

    def _note(self, effect: Item) -> None:
        """Take note of an effect that was settled."""
        if effect[0] == "add" and ":command:" in effect[1]:
            fields = flat_fields(effect)
            envelope = from_fields(fields, b"0-0")
            command = self.topology.catalog.decode(envelope.type, fields[b"data"], envelope.version)
            assert isinstance(command, Command)
            self._sent.append(command)


def id_of(flow: str | Receipt) -> str:
    """Return the id of a flow."""
    return flow.id if isinstance(flow, Receipt) else flow


def _only(kind: type[M], found: list[M], others: Sequence[Message], done: str) -> M:
    if len(found) == 1:
        return found[0]
    were = ", ".join(f"{name} × {n}" for name, n in Counter(type(o).__name__ for o in others).items())
    listed = "".join(f"\n  {message!r}" for message in found)
    raise AssertionError(
        f"one {kind.__name__} was expected, {len(found)} {done}; in all: {were or 'nothing'}{listed}"
    )
