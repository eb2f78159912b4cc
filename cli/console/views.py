"""The views of the console: what each makes rows of. Pure functions of a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from cli.assignments import left
from cli.output import Column, clean, clock, span
from hybrid.broker.log import CLASSIFIED
from hybrid.inspect.flows import LogLine
from hybrid.inspect.snapshot import Snapshot
from hybrid.inspect.tasks import ANYONE

SPARKS = "▁▂▃▄▅▆▇█"
WIDTH = 16
"""How many looks a row's sparkline shows."""


GROUP = "group "
"""How the key of a row begins that stands for a group of failures; its id follows."""


class Row(NamedTuple):
    """A row: its key, by which it is opened, and its cells. A filter looks at its `facts` besides."""

    key: str
    cells: tuple[str, ...]
    facts: str = ""


class View(NamedTuple):
    """A view: its columns, what makes its rows, and what it says when there are none."""

    title: str
    columns: Sequence[Column]
    rows: Callable[[Snapshot], Iterable[Row]]
    empty: str


def rows_of(view: View, snapshot: Snapshot, filter: str) -> list[Row]:
    """Return the rows that a filter lets through: every word of it is somewhere in the row, or, as
    `column=text`, in that column.
    """
    words = filter.lower().split()
    return [row for row in view.rows(snapshot) if all(_has(view, row, word) for word in words)]


def _has(view: View, row: Row, word: str) -> bool:
    name, equals, text = word.partition("=")
    if equals:
        for column, cell in zip(view.columns, row.cells, strict=True):
            if column.title.startswith(name):
                return text in cell.lower()
    return word in " ".join((*row.cells, row.facts)).lower()


def _events(snapshot: Snapshot) -> Iterable[Row]:
    """Return the newest deliveries, newest first; wake-ups say little, unless they end a flow."""
    for line in reversed(snapshot.deliveries):
        if line.type != "wake-up" or line.outcome == "ended":
            cells = (
                clock(line.settled),
                what(line),
                clean(line.type),
                line.component,
                line.outcome,
                span(max(line.settled - line.taken, 0)),
                line.flow or line.correlation,
                _note(line),
            )
            yield Row(
                line.message or line.flow,
                cells,
                f"key={line.key} {line.message} {line.consumer} {line.channel}",
            )


def what(line: LogLine) -> str:
    """Return what a delivery was of: an initiating event, a command, a broadcast, or the flow itself."""
    if line.type == "wake-up":
        return "flow"
    kind, _, _ = line.channel.partition(":")
    return {"event": "event", "command": "command", "topic": "broadcast", "own": "again"}.get(kind, kind)


def _note(line: LogLine) -> str:
    again = f"attempt {line.attempt}" if line.attempt > 1 else ""
    if line.outcome == CLASSIFIED:
        return clean(line.note)
    return ", ".join(part for part in (again, clean(line.note)) if part)


def _flows(snapshot: Snapshot) -> Iterable[Row]:
    for flow in snapshot.flows:
        waits = clean(flow.problem) or ", ".join(flow.waiting_for)
        age = span(max(snapshot.at - flow.started, 0))
        yield Row(
            flow.id,
            (
                flow.id,
                flow.state,
                flow.type,
                flow.event_class,
                flow.mediator,
                str(flow.step or ""),
                age,
                waits,
            ),
        )


def _channels(snapshot: Snapshot) -> Iterable[Row]:
    """Return the channels, those with the most waiting first."""
    for row in sorted(snapshot.channels, key=lambda row: (-row.waiting - row.pending, -row.entering)):
        yield Row(
            f"{row.channel}|{row.shard}",
            (
                row.channel,
                row.group or "nobody",
                _number(row.waiting),
                _number(row.pending),
                span(row.oldest) if row.oldest else "",
                _per_second(row.entering),
                str(row.consumers or "none"),
                sparkline(row.backlog, WIDTH),
            ),
        )


def _processors(snapshot: Snapshot) -> Iterable[Row]:
    for row in snapshot.components:
        if row.name:
            numbers = (row.waiting, row.pending, row.later, row.failed)
            yield Row(
                row.name,
                (
                    row.name,
                    row.kind,
                    _per_second(row.settling),
                    *map(_number, numbers),
                    str(row.consumers or "none"),
                    _number(row.missing),
                    sparkline(row.rates, WIDTH),
                ),
            )


def _desk(snapshot: Snapshot) -> Iterable[Row]:
    """Return the groups of failures, the largest first, and then the newest failures."""
    for group in snapshot.groups:
        told = [f"{group.count:,} in {group.frame}" if group.frame else f"{group.count:,}"]
        told += [f"{group.failed_again:,} again"] if group.failed_again else []
        types = ", ".join(group.types)
        cells = (clock(group.last), f"{GROUP}{group.id}", types, "", group.error, clean(", ".join(told)), "")
        yield Row(f"{GROUP}{group.id}", cells)
    for failure in snapshot.failures:
        yield Row(
            failure.id,
            (
                clock(failure.failed),
                failure.id,
                failure.type,
                failure.key,
                failure.error,
                clean(failure.reason),
                str(failure.attempts),
            ),
            f"key={failure.key} {failure.flow} {failure.message} {failure.handler} {failure.group}",
        )


def _tasks(snapshot: Snapshot) -> Iterable[Row]:
    """Return the tasks that have been open longest."""
    for task in snapshot.tasks:
        cells = (
            task.id,
            clean(task.for_ or ANYONE),
            clean(task.claimed_by),
            span(max(snapshot.at - task.asked, 0)),
            left(task, snapshot.at),
            task.type,
            clean(task.question),
        )
        yield Row(task.id, cells, " ".join(task.choices))


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the newest values as a line of bars, the highest of them full; nothing when all are 0."""
    newest = values[-width:]
    highest = max(newest, default=0)
    if highest <= 0:
        return ""
    return "".join(SPARKS[min(int(value / highest * len(SPARKS)), 7)] if value else " " for value in newest)


def _number(value: int) -> str:
    return f"{value:,}" if value else "·"


def _per_second(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 10 else f"{value:.1f}/s" if value else "·"


ALL: dict[str, View] = {
    "events": View(
        "events",
        [
            Column("time", keep=True),
            Column("what"),
            Column("type"),
            Column("by"),
            Column("outcome"),
            Column("took", right=True),
            Column("flow"),
            Column("note"),
        ],
        _events,
        "nothing has been delivered yet: `hybrid send TYPE key=value …` sends an event",
    ),
    "flows": View(
        "flows",
        [
            Column("flow", keep=True),
            Column("state"),
            Column("event"),
            Column("class"),
            Column("mediator"),
            Column("step", right=True),
            Column("age", right=True),
            Column("waits for, or why not"),
        ],
        _flows,
        "no flow is under way; `hybrid flows list` has those that ended",
    ),
    "channels": View(
        "channels",
        [
            Column("channel"),
            Column("group"),
            Column("waiting", right=True),
            Column("at work", right=True),
            Column("oldest", right=True),
            Column("in", right=True),
            Column("workers", right=True),
            Column("backlog"),
        ],
        _channels,
        "no channels: the application has no components",
    ),
    "processors": View(
        "processors",
        [
            Column("component"),
            Column("kind"),
            Column("settled", right=True),
            Column("waiting", right=True),
            Column("at work", right=True),
            Column("later", right=True),
            Column("failed", right=True),
            Column("workers", right=True),
            Column("missing", right=True),
            Column("rate"),
        ],
        _processors,
        "no components",
    ),
    "desk": View(
        "desk",
        [
            Column("failed", keep=True),
            Column("id"),
            Column("type"),
            Column("key"),
            Column("error"),
            Column("why"),
            Column("attempts", right=True),
        ],
        _desk,
        "the desk is empty: nothing has failed",
    ),
    "tasks": View(
        "tasks",
        [
            Column("task", keep=True),
            Column("for"),
            Column("claimed by"),
            Column("age", right=True),
            Column("due in", right=True),
            Column("event"),
            Column("question"),
        ],
        _tasks,
        "nobody is asked anything; `hybrid flows` has what flows wait for",
    ),
}
"""All views by name, in the order of their keys."""
