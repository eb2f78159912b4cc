"""Flows as people see them: the list, and the timeline of one, from its record, its history and the settle
log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from hybrid.broker.log import DISCARDED, IN_REPAIR, LogEntry, entries_of
from hybrid.broker.outputs import WAKE_UP
from hybrid.broker.shard import Shard, Store
from hybrid.errors import UnknownFlow
from hybrid.inspect.deeds import DeedView, deeds
from hybrid.inspect.query import ALL, Query, records, state_of
from hybrid.inspect.reasons import Reason, reasons
from hybrid.inspect.runs import run_of, runs
from hybrid.inspect.shown import visible
from hybrid.inspect.tasks import asks
from hybrid.inspect.undos import UndoView, undos
from hybrid.mediator.record import (
    ANSWERED,
    CANCEL_ON,
    CHILD,
    COMMAND,
    COMPLETED,
    FAILED,
    FIRED,
    GIVEN_UP,
    HEARD,
    NOTHING,
    REPLY,
    RUNNING,
    SIGNAL,
    SIGNALLED,
    TASK,
    TIMEOUT,
    TIMER,
    UNDO,
    WAIT,
    FlowRecord,
    Issued,
    Result,
)
from hybrid.streams.scripts import Entries
from hybrid.topology import Topology

PAGE = 5_000
LOG_PAGES = 40
"""How many pages of the settle log are read for one flow at most."""
SHORTLY = 60_000
"""How long (ms) after a flow's end the settle log is read for who listened."""

WAITING, ACKNOWLEDGED, TIMED_OUT = "waiting", "acknowledged", "timed out"
SLEEPING, SLEPT, LISTENING, LEFT = "sleeping", "slept", "listening", "not awaited any more"
_STATES = {
    REPLY: ACKNOWLEDGED, NOTHING: ACKNOWLEDGED, TIMEOUT: TIMED_OUT, GIVEN_UP: "given up", FIRED: SLEPT,
    SIGNALLED: SIGNALLED, HEARD: HEARD, ANSWERED: ANSWERED,
}  # fmt: skip

MEANWHILE = {TIMER: SLEEPING, SIGNAL: WAITING, WAIT: WAITING, TASK: WAITING, CANCEL_ON: LISTENING}
"""What is said of steps without a message, as long as they have no result."""
_BY_OUTCOME = {IN_REPAIR: RUNNING, DISCARDED: FAILED}
"""States of an event without a flow, by the outcome of its last delivery."""


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """A flow in one line. Times in ms, 0 for not yet. A flow with a step that failed counts as failed."""

    id: str
    state: str
    type: str
    event_class: str
    mediator: str
    step: int
    """The newest step that was issued."""
    waiting_for: tuple[str, ...]
    """The steps whose result it awaits: of commands their types."""
    sent: int
    started: int
    ended: int
    problem: str


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a flow. Times in ms, 0 for not yet; `deadline` (of a sleep: its end) 0 for none."""

    number: int
    kind: str
    name: str
    """Of a command its type."""
    processor: str
    """Of a signal who gave it; of a wait the id of the event that it heard; of a task who answered."""
    state: str
    sent: int
    taken: int
    done: int
    by: str
    """The consumer that acknowledged a command."""
    attempts: int
    deadline: int
    reply: str
    data: Any
    """Of a task the answer: {choice, note, data}."""
    problem: str
    asks: str = ""
    """Of a task whom it asks, and who has claimed it."""


@dataclass(frozen=True, slots=True)
class SignalView:
    """A signal that no step has taken yet. `at` in ms."""

    name: str
    id: str
    by: str
    at: int
    data: Any


@dataclass(frozen=True, slots=True)
class LogLine:
    """One delivery of the settle log. Times in ms."""

    settled: int
    taken: int
    component: str
    channel: str
    type: str
    message: str
    attempt: int
    outcome: str
    consumer: str
    flow: str
    step: int
    note: str
    correlation: str
    cause: str
    key: str = ""

    @property
    def group(self) -> str:
        """The group whose delivery it was: of a repair not the component, but the one where it failed."""
        repair = self.channel.startswith("repair:")
        return self.channel.rpartition("/")[2] if repair else self.component


@dataclass(frozen=True, slots=True)
class FlowView:
    """One flow, whole. A simple event, which has no flow, is told by its log alone."""

    summary: FlowSummary
    key: str
    rule: str
    reason: str
    version: int
    run: int
    event: Any
    steps: tuple[StepView, ...]
    outcome_type: str
    outcome: Any
    log: tuple[LogLine, ...]
    """Every delivery that the event led to, as far as the settle log reaches back."""
    untaken: tuple[SignalView, ...] = ()
    """Signals that no step has taken, of each name in their order."""
    deeds: tuple[DeedView, ...] = ()
    """What people did with it, in their order."""
    reasons: tuple[Reason, ...] = ()
    """Why it does not go on, unless it has ended."""
    runs: tuple[int, ...] = ()
    """The runs that are on record: earlier ones are kept for some time."""
    undos: tuple[UndoView, ...] = ()
    """What it has registered to be undone, and has not sent."""
    error: str = ""
    """Of one that was cancelled or has failed for good: why."""


async def summaries(
    store: Store, topology: Topology, query: Query = ALL, most: int = 50
) -> list[FlowSummary]:
    """Return the flows that a query takes, newest first: the unfinished ones, then the ended ones."""
    found: dict[str, FlowSummary] = {}
    for shard in store.shards:
        of_shard = 0
        async for record in records(shard, topology, query, newest=True):
            found[record.id] = summary(record)
            of_shard += 1
            if of_shard == most:
                break
    newest = sorted(found.values(), key=lambda flow: (bool(flow.ended), -flow.started))
    return newest[:most]


async def flow(store: Store, topology: Topology, id: str, run: int = 0) -> FlowView:
    """Return one flow, in its newest run (0) or an earlier one. Raises UnknownFlow when neither a record nor
    the settle log knows it.
    """
    for shard in store.shards:
        newest = FlowRecord.read(id, await shard.queries.hash(shard.keys.flow(id)))
        if newest.begun:
            record = await run_of(shard, newest, run)
            first, ended = int(record.facts.get("sent", 0)), int(newest.facts.get("ended", 0))
            log = await deliveries(shard, id, first, ended + SHORTLY if ended else 0)
            found = view(topology, record, log)
            return replace(found, runs=await runs(shard, newest), deeds=await deeds(shard, id))
    for shard in store.shards if run < 2 else ():
        if log := await deliveries(shard, id, 0, 0):
            return _simple(id, log)
    raise UnknownFlow(id)


async def deliveries(shard: Shard, correlation: str, first: int, last: int) -> list[LogLine]:
    """Return the deliveries that an initiating event led to, of the settle log between two times (ms, 0 for
    open).
    """
    lines: list[LogLine] = []
    after, until, name = str(first) if first else "-", str(last) if last else "+", correlation.encode()
    for _ in range(LOG_PAGES):
        entries = await shard.queries.range(shard.keys.log, after, until, PAGE)
        about = [(entry, fields) for entry, fields in entries if name in fields[b"e"]]
        lines += [line for line in entries_of_log(about) if correlation in (line.correlation, line.flow)]
        if len(entries) < PAGE:
            break
        after = f"({entries[-1][0].decode()}"
    return lines


def summary(record: FlowRecord) -> FlowSummary:
    """Return a record in one line."""
    facts = record.facts
    stuck = [
        f"step {n} ({record.steps[n].label}): {why}"
        for n, why in sorted(record.stuck.items())
        if n in record.steps
    ]
    paused = f"paused {record.paused}" if record.paused else ""
    problem = "; ".join(why for why in (paused, facts.get("error", ""), *stuck) if why)
    waiting = [_awaited(record, n) for n in sorted(record.waits) if n in record.steps]
    return FlowSummary(
        record.id,
        state_of(record),
        facts.get("type", ""),
        facts.get("class", ""),
        facts.get("mediator", ""),
        max(record.steps, default=0),
        tuple(waiting),
        int(facts.get("sent", 0)),
        int(facts.get("started", 0)),
        int(facts.get("ended", 0)),
        facts.get("error", "") if record.ended else problem,
    )


def _awaited(record: FlowRecord, step: int) -> str:
    """Return what a flow waits for: of a task whom, and what they are asked."""
    issued, whom = record.steps[step], asks(record, step)
    return f"{whom}: {issued.name}" if whom else issued.label


def view(topology: Topology, record: FlowRecord, log: list[LogLine]) -> FlowView:
    """Return a flow as its record and its part of the settle log tell it."""
    facts = record.facts
    kind, schema, data = record.outcome or ("", 0, b"")
    return FlowView(
        summary(record),
        facts.get("key", ""),
        facts.get("rule", ""),
        facts.get("reason", ""),
        int(facts.get("code", 0)),
        record.run,
        visible(topology.catalog, facts.get("type", ""), record.event, record.schema),
        tuple(_step(topology, record, n, issued, log) for n, issued in sorted(record.steps.items())),
        kind,
        visible(topology.catalog, kind, data, schema) if kind else None,
        tuple(log),
        tuple(_untaken(record)),
        reasons=reasons(record, topology),
        undos=undos(record, topology.catalog),
        error=facts.get("error", "") if record.ended else "",
    )


def _untaken(record: FlowRecord) -> Iterable[SignalView]:
    for name, ids in sorted(record.untaken.items()):
        for id in ids:
            if signal := record.signals.get(id):
                yield SignalView(name, id, signal.by, signal.done, signal.said)


def _step(
    topology: Topology, record: FlowRecord, number: int, issued: Issued, log: Iterable[LogLine]
) -> StepView:
    result = record.results.get(number)
    mine = [
        line
        for line in log
        if line.flow == record.id
        and line.step == number
        and line.settled >= issued.sent  # and of no run before
    ]
    is_known = issued.kind in (COMMAND, UNDO) and issued.name in topology.catalog
    handler = topology.handler_of(topology.catalog.named(issued.name)) if is_known else None
    processor = (result.by if result else "") or (handler.component if handler else "")
    problem = record.stuck.get(number, "")
    if result and result.kind == GIVEN_UP:
        problem = result.data.decode(errors="replace")
    attempts = max([result.attempt if result else 0, *(line.attempt for line in mine)])
    return StepView(
        number,
        issued.kind,
        issued.label,
        processor,
        _STATES.get(result.kind, result.kind) if result else _unfinished(record, number),
        issued.sent,
        result.taken if result else max((line.taken for line in mine), default=0),
        result.done if result else 0,
        next((line.consumer for line in reversed(mine) if line.outcome == "done"), ""),
        attempts,
        issued.sent + issued.timeout if issued.timeout else 0,
        result.type if result else "",
        _reply(topology, result),
        problem,
        "" if result else asks(record, number),
    )


def _unfinished(record: FlowRecord, step: int) -> str:
    kind = record.steps[step].kind
    if record.ended or (record.ending and kind not in (COMMAND, UNDO, CHILD)):
        return LEFT
    if kind in (TIMER, CANCEL_ON):
        return SLEEPING if kind == TIMER else LISTENING
    return FAILED if step in record.failed else IN_REPAIR if step in record.stuck else WAITING


def remark(step: Issued, result: Result | None) -> str:
    """Return what is to be said of a step beside what its deliveries tell."""
    if result is None:
        return MEANWHILE.get(step.kind, "")
    if result.kind in (TIMEOUT, GIVEN_UP):
        why = result.data.decode(errors="replace")
        return "timed out, the flow went on" if result.kind == TIMEOUT else f"given up: {why}"
    if result.kind == SIGNALLED:
        return f"signalled by {result.by}"
    if result.kind == ANSWERED:
        return f"answered by {result.by}: {result.said[0] or 'done'}"
    if result.kind == HEARD:
        return f"heard {result.type} {result.by}"
    return SLEPT if result.kind == FIRED else ""


def _reply(topology: Topology, result: Result | None) -> Any:
    if result and result.kind == SIGNALLED:
        return result.said
    if result and result.kind == ANSWERED:
        return dict(zip(("choice", "note", "data"), result.said, strict=True))
    if result and result.kind in (REPLY, HEARD):
        return visible(topology.catalog, result.type, result.data, result.schema)
    return None


def _simple(id: str, log: list[LogLine]) -> FlowView:
    """Return what the settle log knows of an event without a flow: a simple one, or one whose record is
    forgotten.
    """
    first = next((line for line in log if line.message == id), log[0])
    note = first.note.partition(" by ")
    rule, _, reason = note[2].partition(": ")
    failed = [line for line in log if line.outcome == FAILED]
    last = next((line.outcome for line in reversed(log) if line.message == id), "")
    state = FAILED if failed else _BY_OUTCOME.get(last, COMPLETED)
    line = FlowSummary(
        id, state, first.type, note[0] if note[1] else "", first.component, 0, (), first.taken, first.taken,
        0 if failed else first.settled, failed[0].note if failed else "",
    )  # fmt: skip
    why = tuple(Reason(0, f"it waits at the desk: {each.note}") for each in failed[:1])
    return FlowView(line, "", rule, reason, 0, 1, None, (), "", None, tuple(log), reasons=why)


def _line(entry: bytes, said: LogEntry) -> LogLine:
    return LogLine(
        int(entry.partition(b"-")[0]), said.taken, said.component, said.channel, said.type or WAKE_UP,
        said.id, said.attempt, said.outcome, said.consumer, said.flow, said.step, said.note,
        said.correlation, said.cause, said.key,
    )  # fmt: skip


def entries_of_log(entries: Entries) -> list[LogLine]:
    """Return entries of the settle log as lines."""
    return [_line(entry, said) for entry, fields in entries for said in entries_of(fields)]
