"""The laws of trips, checked when every flow has ended: what was ordered was done once, what had to be undone
was undone once and in reverse, parents and children agree, and nothing is left behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from sqlalchemy import Engine, select

from hybrid import App
from hybrid.broker.shard import Store
from hybrid.codec import unpack
from hybrid.ids import child_id
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from hybrid.mediator.record import (
    CANCELLED,
    CHILD,
    COMMAND,
    COMPLETED,
    FAILED,
    GIVEN_UP,
    NOTHING,
    PROMOTED,
    REFUSED,
    REPLY,
    TIMEOUT,
    UNDO,
    FlowRecord,
)
from tests.prove.trips import Part, done

AT_ONCE = "now"
"""Why a flow is cancelled with nothing undone: so the laws know it."""
INDEXES = "waits:*", "matches:*", "later:*", "held:*", "gate:*", "pauses"
"""Keys that are gone when nothing is in them."""


class Row(NamedTuple):
    """What a handler did: the order of the commits is that of `seq`."""

    seq: int
    what: str
    flow: str
    run: int
    step: int
    part: int


class Run(NamedTuple):
    """A run of a flow: its record, how it ended, and where each of its steps was issued: in which run."""

    record: FlowRecord
    state: str
    issued: dict[int, int]


class Trips:
    """All that is known of the trips at the end."""

    def __init__(self, app: App, store: Store, engine: Engine, raw: Any) -> None:
        self._app, self._store, self._raw = app, store, raw
        (shard,) = store.shards
        self._keys = keys = shard.keys
        with engine.connect() as connection:
            self.rows = [Row(*row) for row in connection.execute(select(done).order_by(done.c.seq))]
        self._names = {
            keys.channel(key.decode()) for key in raw.scan_iter(match=keys.prefix + "*", count=1000)
        }
        flows = [name.removeprefix("flow:") for name in self._names if name.startswith("flow:")]
        self.records = {flow: FlowRecord.read(flow, raw.hgetall(keys.flow(flow))) for flow in flows}
        self.histories = {flow: [*map(unpack, raw.lrange(keys.history(flow), 0, -1))] for flow in flows}

    async def hold(self) -> None:
        """Check all laws. Raises AssertionError with what breaks them."""
        found = [*self._once(), *self._endings(), *self._children(), *self._left_over()]
        for flow in self.records:
            for run in self._runs(flow):
                said = (*self._done(run), *self._undone(run), *self._in_order(run))
                found += [f"{flow} run {run.record.run} ({run.state}): {what}" for what in said]
        books = await ledger(self._store, self._app.topology)
        found += [f"the ledger is off: {group}" for group in books.groups if group.missing]
        found += [f"loose: {loose}" for loose in await loose_flows(self._store, self._app.topology)]
        if found:
            of = [flow for flow in self.records if any(flow in what for what in found)]
            told = [f"{flow}: {self.histories[flow]}\n  {self.records[flow]}" for flow in of]
            rows = [str(row) for row in self.rows if row.flow in of]
            raise AssertionError("\n".join([*found, *told, *rows]))

    def _once(self) -> Iterator[str]:
        """What a step of a run orders is done at most once."""
        for what, times in Counter((row.flow, row.run, row.step) for row in self.rows).items():
            if times > 1:
                yield f"{what} was done {times} times"
        for row in self.rows:
            if row.flow not in self.records:
                yield f"there is no flow for {row}"

    def _endings(self) -> Iterator[str]:
        """A run of a flow ends once, and its event is broadcast once."""
        ended: Counter[tuple[str, str, str]] = Counter()
        for _, fields in self._raw.xrange(self._keys.outcomes):
            flow, state, run = (fields.get(name, b"").decode() for name in (b"flow", b"state", b"run"))
            if state != FAILED:
                ended[flow, run, state] += 1
        for what, times in ended.items():
            if times > 1:
                yield f"{what} ended {times} times"
        for type, state in (("trip-made", COMPLETED), ("trip-refused", REFUSED)):
            ids = Counter(fields[b"id"] for _, fields in self._raw.xrange(self._keys.topic(type)))
            expected = sum(how == state for _, _, how in ended)
            if ids.total() != expected or len(ids) != expected:
                yield f"{type} was broadcast {ids.total()} times under {len(ids)} ids, not {expected}"

    def _done(self, run: Run) -> Iterator[str]:
        """What was acknowledged was done, and only what was issued."""
        record, flow = run.record, run.record.id
        for number, step in record.steps.items():
            result = record.results.get(number)
            if step.kind in (COMMAND, UNDO) and result and result.kind in (REPLY, NOTHING):
                times = len([r for r in self._of(flow, run.issued[number]) if r.step == number])
                if times != 1:
                    yield f"step {number} ({step.name}) was acknowledged, and done {times} times"
        for row in self._of(flow, record.run):
            step = record.steps.get(row.step)
            if step is None or step.name != row.what:
                yield f"nobody has ordered {row}"
        steps = [number for number, step in record.steps.items() if step.kind != UNDO]
        if run.state == COMPLETED and len(steps) != 1 + sum(part.steps for part in self._parts(record)):
            yield f"it completed with steps {steps} for {self._parts(record)}"

    def _undone(self, run: Run) -> Iterator[str]:
        """What was registered is undone, the last first, when the run did not complete; else nothing is."""
        record = run.record
        undone = [row.part for row in self._of(record.id, record.run) if row.what == "unbook"]
        expected = [self._registered(run, reached)[::-1] for reached in self._reached(run)] or [[]]
        if run.state == CANCELLED:  # its function may have seen, and then gone on from, what came to its end
            expected += [self._registered(run, at, seen=True)[::-1] for at in self._reached(run)]
        if run.state == CANCELLED and record.facts.get("error", "").endswith(f": {AT_ONCE}"):
            expected = [some[: len(undone)] for some in expected]
        if undone not in expected:
            yield f"undone was {undone}, not {expected}: {self._parts(record)}"

    def _reached(self, run: Run) -> Iterator[int]:
        """Yield the places of the parts at which a run may have ended that has to be undone."""
        parts, state, top = self._parts(run.record), run.state, self._last_step(run.record)
        before = [1 + sum(part.steps for part in parts[:at]) for at in range(len(parts) + 1)]
        if state in (CANCELLED, FAILED) and top:
            yield from (at for at in range(len(parts)) if before[at] < top <= before[at + 1])
        ends = {REFUSED: ("refuse",), PROMOTED: ("promote",), CANCELLED: ("refuse", "promote")}.get(state, ())
        for at, part in enumerate(parts):  # what is cancelled may have been refused, or promoted, already
            if part.kind in ends and before[at] == top:
                yield at

    def _registered(self, run: Run, reached: int, *, seen: bool = False) -> list[int]:
        """Return the parts whose undoing is registered at a part; `seen`: when that has come to its end and
        the next one was begun.
        """
        last = reached + seen
        return [
            part.id
            for at, part in enumerate(self._parts(run.record)[: last + 1])
            if part.undo == "before" or (part.undo == "after" and at < last)
        ]

    def _in_order(self, run: Run) -> Iterator[str]:
        """Nothing is undone before the commands and children that were under way have ended."""
        record = run.record
        rows = self._of(record.id, record.run)
        first = min((row.seq for row in rows if row.what == "unbook"), default=0)
        late = [row for row in rows if row.what == "book" and row.seq > first]
        for number, step in record.steps.items():
            child = self.records.get(child_id(record.id, record.run, number)) if step.kind == CHILD else None
            if child and not self._was_restarted(child.id):
                late += [row for row in self.rows if row.flow == child.id and row.seq > first]
        for row in late if first else ():
            number = row.step if row.flow == record.id else _step_of(self.records[row.flow])
            result = record.results.get(number)
            if not result or result.kind not in (TIMEOUT, GIVEN_UP):
                yield f"undone ({first}) before what was under way had ended: {row}"

    def _children(self) -> Iterator[str]:
        """A parent has of its child what it ended with."""
        for flow in self.records:
            for record, _, issued in self._runs(flow):
                for number, result in record.results.items():
                    if record.steps[number].kind != CHILD or result.kind == TIMEOUT:
                        continue
                    child = self.records.get(child_id(flow, issued[number], number))
                    state = COMPLETED if result.kind in (REPLY, NOTHING) else result.kind
                    if child is None or (child.state != state and not self._was_restarted(child.id)):
                        yield f"{flow} step {number}: {state} is on record of its child {child}"

    def _left_over(self) -> Iterator[str]:
        """Nothing stands in an index, on the schedule, or in a key that may not stay."""
        keys, raw = self._keys, self._raw
        for name, n in raw.hgetall(keys.counters).items():
            if name.startswith(b"running:") and int(n):
                yield f"{name.decode()} is {int(n)}"
        for key in (keys.timers, keys.tasks, keys.flows, keys.scheduled):
            for member in raw.zrange(key, 0, -1):
                if key != keys.timers or not self._is_of_an_older_run(member):
                    yield f"{key} has {member!r}"
        for name in sorted(self._names):
            if any(fnmatchcase(name, pattern) for pattern in INDEXES):
                yield f"{name} is left over"
            lasts = any(fnmatchcase(name, pattern) for pattern in keys.lasting())
            if not lasts and raw.ttl(keys.stream(name)) == -1:
                yield f"{name} has no place in Keys.lasting(), and no time limit"
        for flow, record in self.records.items():
            if not record.ended or record.paused or record.asked or record.ending:
                yield f"{flow} is not over: {record}"

    def _is_of_an_older_run(self, timer: bytes) -> bool:
        """Tell whether a timer is a command's of a run that is no more, which has expired before it fired, as
        when clocks jumped: it does nothing when it fires.
        """
        flow, run, *_ = unpack(timer)
        return flow in self.records and run < self.records[flow].run

    def _runs(self, flow: str) -> list[Run]:
        """Return the runs of a flow since it has begun anew the last time: before that there is no record."""
        records = [self.records[flow]]
        while self._keys.channel(self._keys.past(flow, records[0].run - 1)) in self._names:
            past = self._raw.hgetall(self._keys.past(flow, records[0].run - 1))
            records.insert(0, FlowRecord.read(flow, past))
        restarts = [said[0][2] for _, what, said in self.histories[flow] if what == "restart"]
        runs: list[Run] = []
        for at, record in enumerate(records):
            issued = dict.fromkeys(record.steps, record.run)
            if runs and runs[-1].state != PROMOTED:
                first = restarts.pop(0)
                issued |= {number: run for number, run in runs[-1].issued.items() if number < first}
            goes_on = at + 1 < len(records)
            state = record.state if record.ended else "restarted" if goes_on else "unfinished"
            if goes_on and records[at + 1].facts["mediator"] != record.facts["mediator"]:
                state = PROMOTED
            runs.append(Run(record, state, issued))
        return runs

    def _was_restarted(self, flow: str) -> bool:
        return any(what == "restart" for _, what, _ in self.histories[flow])

    def _of(self, flow: str, run: int) -> list[Row]:
        return [row for row in self.rows if (row.flow, row.run) == (flow, run)]

    def _parts(self, record: FlowRecord) -> Sequence[Part]:
        event: Any = self._app.topology.catalog.decode("trip-booked", record.event, record.schema)
        return event.parts  # type: ignore[no-any-return]

    @staticmethod
    def _last_step(record: FlowRecord) -> int:
        return max((number for number, step in record.steps.items() if step.kind != UNDO), default=0)


def _step_of(child: FlowRecord) -> int:
    """Return which step of its parent a flow is."""
    return child.parent[2] if child.parent else 0
