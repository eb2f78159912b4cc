"""The waterfall: a trace as a picture. A tree by cause with times since the start, and bars: what waited as a
dotted line, what was worked on as a solid one. Pure functions of the trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from cli.output import STYLES, clean, compact, span
from hybrid.broker.log import (
    CLASSIFIED,
    DISCARDED,
    EXPIRED,
    FAILED,
    HANDED_BACK,
    IN_REPAIR,
    PASSED_ON,
    RETRIED,
)
from hybrid.inspect.flows import WAITING
from hybrid.inspect.trace import BROADCAST, COMMAND, Handling, Trace, Traced
from hybrid.mediator.record import COMPLETED, RUNNING

WAITS, WORKS, SENT = "┄", "━", "◆"
UNSETTLED = (WAITING, RUNNING)
TROUBLE = (RETRIED, FAILED, IN_REPAIR, DISCARDED, EXPIRED, HANDED_BACK, PASSED_ON)
"""Outcomes of attempts that have a line of their own."""
_UNHANDLED = {BROADCAST: "unheard", COMMAND: "in no queue: look again"}
TIME = 10
"""How wide a column of times is."""
WIDE = 100
"""From this width on, there are columns for how long a message waited and for who took it."""
LEAST_BAR, LEAST_TREE, LEAST_NAME = 16, 24, 8
MOST_CONSUMER = 24


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree. Times in ms, 0 for none; one without times is a remark on the line above."""

    tree: str
    """The lines that lead to it."""
    what: str
    state: str = ""
    sent: int = 0
    work: tuple[tuple[int, int], ...] = ()
    """When it was worked on: from taken to settled, attempt by attempt."""
    until: int = 0
    """When it was settled for good; if it was not, when the trace was read. 0 for what is only sent."""
    consumer: str = ""
    id: str = ""
    """The message's, on the line that tells of its being sent."""
    attempt: int = 0
    """Above 1, or on a line of its own, which attempt it was."""
    marked: bool = False

    @property
    def begun(self) -> int:
        """When what this line tells of began."""
        return self.sent if self.id or not self.work else self.work[0][0]

    @property
    def waited(self) -> int:
        """How long nobody had taken it, in ms."""
        return max((self.work[0][0] if self.work else self.until) - self.sent, 0)

    @property
    def took(self) -> int:
        """How long it took from when it was first taken, in ms."""
        return max(self.until - self.work[0][0], 0) if self.work else 0


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A trace to be printed at whatever width there is."""

    trace: Trace

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines for this width."""
        yield from lines(self.trace, options.max_width)


def lines(trace: Trace, width: int) -> list[Text]:
    """Return a trace as lines, none wider than this."""
    found = list(rows(trace))
    first, last = _ends(trace, found)
    layout = _layout(found, width)
    head = [_cut(line, width) for line in heading(trace)]
    end = span(last - first)
    axis = f"0 ms{end:>{max(layout.bar - len('0 ms'), 0)}}"
    columns = ("at", "waited", "took") if layout.wide else ("at", "took")
    titles = (
        " " * (layout.gutter + layout.tree) + "".join(f"{name:>{TIME}}" for name in columns) + f"  {axis}"
    )
    body = [_line(row, layout, width, first, last) for row in found]
    foot = [_cut(Text(f"not told: {clean(each)}", "yellow"), width) for each in trace.missing]
    return [*head, Text(""), _cut(Text(titles, "dim"), width), *body, *([Text("")] if foot else []), *foot]


def plain(trace: Trace) -> str:
    """Return a trace as text for a pipe: nothing is cut, ids and consumers are there, and no bars."""
    found = list(rows(trace))
    first, _ = _ends(trace, found)
    out = [*map(str, heading(trace)), "", f"{'AT':>{TIME}}{'WAITED':>{TIME}}{'TOOK':>{TIME}}    WHAT"]
    for row in found:
        by = f" by {row.consumer}" if row.consumer else ""
        id = f"  [{row.id}]" if row.id else ""
        mark = ">" if row.marked else " "
        out.append(f"{_times(row, first, wide=True)}  {mark} {_label(row)}{by}{id}".rstrip())
    return "\n".join(
        [*out, *([""] if trace.missing else []), *(f"not told: {clean(e)}" for e in trace.missing)]
    )


def heading(trace: Trace) -> list[Text]:
    """Return what is said above the tree: which event, how it ended, its class, its data."""
    root, flow = trace.root, trace.flow
    _, last = _ends(trace, list(rows(trace)))
    state = flow.state if flow else _state(root)
    end = flow.ended if flow and flow.ended else last
    took = f" {'for' if state == RUNNING else 'in'} {span(max(end - root.sent, 0))}" if root.sent else ""
    found = [
        Text.assemble(
            (clean(root.type), "bold"), f" {clean(root.id)}  ", (state, STYLES.get(state, "")), took
        )
    ]
    if trace.classified:
        by = f", carried out by {flow.mediator}" if flow else ""
        found.append(Text.assemble(("class ", "dim"), clean(trace.classified) + by))
    if root.data is not None:
        found.append(Text.assemble(("data  ", "dim"), compact(root.data)))
    return found


def rows(trace: Trace) -> Iterator[Row]:
    """Yield the lines of the tree."""
    yield from _Tree(trace).message(trace.root, "", "")


class _Tree:
    """Makes rows of messages and of what was done with them."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.marked = trace.id if trace.id != trace.root.id else ""

    def message(self, message: Traced, tree: str, below: str) -> Iterator[Row]:
        """Yield a message; a command in one line with the one component that handles it."""
        marked = message.id == self.marked
        name = f"{message.step} {message.type}" if message.step else message.type
        if message.kind == COMMAND and len(message.handlings) == 1:
            (handling,) = message.handlings
            what = f"{name} → {handling.component}"
            yield replace(self.handled(handling, message, tree), what=what, id=message.id, marked=marked)
            yield from self.inside(handling, message, below, message.note)
            return
        state = "" if message.handlings or self.trace.missing else _UNHANDLED.get(message.kind, "")
        yield Row(tree, name, state, message.sent, id=message.id, marked=marked)
        if message.note:
            yield Row(below + ("│    " if message.handlings else "     "), clean(message.note))
        for number, handling in enumerate(message.handlings, 1):
            branch, under = _branch(number == len(message.handlings))
            yield self.handled(handling, message, below + branch)
            yield from self.inside(handling, message, below + under)

    def handled(self, handling: Handling, message: Traced, tree: str) -> Row:
        """Return the line that sums up what a component did with a message."""
        attempts, state, flow = handling.attempts, handling.state, self.trace.flow
        work = tuple((each.taken, each.settled) for each in attempts)
        until = attempts[-1].settled if attempts else 0
        if flow and message is self.trace.root and handling.component == flow.mediator and work:
            until = flow.ended or (self.trace.at if state == RUNNING else until)
            work = ((work[0][0], until),)  # from its start to its end it is under way
        elif state in UNSETTLED:
            until = self.trace.at
            if state == RUNNING:  # nobody has written down when it was taken
                work = (*work, (until if work else message.sent, until))
        number, consumer = (attempts[-1].number, attempts[-1].consumer) if attempts else (0, "")
        return Row(tree, handling.component, state, message.sent, work, until, consumer, attempt=number)

    def inside(self, handling: Handling, message: Traced, below: str, also: str = "") -> Iterator[Row]:
        """Yield what is told below a handling: attempts that went wrong, notes, and what it sent."""
        tree = below + ("│    " if handling.sent else "     ")
        notes = [] if handling.state == CLASSIFIED else [handling.note]  # the class stands in the heading
        several = len(handling.attempts) > 1
        for attempt in handling.attempts:
            if attempt.outcome in TROUBLE:
                if several:
                    work = ((attempt.taken, attempt.settled),)
                    yield Row(tree, "", attempt.outcome, 0, work, attempt.settled, attempt=attempt.number)
                yield Row(tree + ("  " if several else ""), clean(attempt.note))
                notes = [note for note in notes if note != attempt.note]
        if handling.state in UNSETTLED and message.deadline:
            notes.append(f"times out in {span(max(message.deadline - self.trace.at, 0))}")
        yield from (Row(tree, clean(note)) for note in (*notes, also) if note)
        for number, sent in enumerate(handling.sent, 1):
            branch, under = _branch(number == len(handling.sent))
            yield from self.message(sent, below + branch, below + under)


def _branch(is_last: bool) -> tuple[str, str]:
    return ("└─ ", "   ") if is_last else ("├─ ", "│  ")


@dataclass(frozen=True, slots=True)
class _Layout:
    """How wide the columns are, in cells. `consumer` is 0 where there is no room for it."""

    tree: int
    bar: int
    consumer: int
    wide: bool
    gutter: int
    """2 where a message is marked."""


def _layout(found: list[Row], width: int) -> _Layout:
    wide, gutter = width >= WIDE, 2 if any(row.marked for row in found) else 0
    consumer = min(max((cell_len(row.consumer) for row in found), default=0), MOST_CONSUMER) if wide else 0
    rest = width - gutter - TIME * (3 if wide else 2) - 2 - (consumer + 2 if consumer else 0)
    wanted = max((_label(row).cell_len for row in found if row.sent or row.until), default=0)
    tree = max(min(wanted, rest - LEAST_BAR, rest * 7 // 10), min(LEAST_TREE, rest), 0)
    return _Layout(tree, max(rest - tree, 0), consumer, wide, gutter)


def _line(row: Row, layout: _Layout, width: int, first: int, last: int) -> Text:
    mark = Text(("> " if row.marked else "  ")[: layout.gutter], "bold")
    if not row.sent and not row.until:
        return _cut(Text.assemble(mark, _label(row)), width)
    label = _label(row, layout.tree)
    label.truncate(layout.tree, overflow="ellipsis", pad=True)
    times, bar = (_times(row, first, layout.wide), "dim"), _bar(row, layout.bar, first, last)
    line = Text.assemble(mark, label, times, "  ", bar)
    if layout.consumer and row.consumer:
        line.append(f"  {set_cell_size(row.consumer, layout.consumer).rstrip()}", "dim")
    return _cut(line, width)


def _label(row: Row, width: int = 0) -> Text:
    """Return a row's part of the tree: what, the state, which attempt; to fit a width, what is cut first."""
    tree = Text(row.tree, "dim")
    if not row.sent and not row.until:
        return Text.assemble(tree, (row.what, "yellow"))
    told = Text.assemble("  " if row.state and row.what else "", (row.state, _style(row.state) or "dim"))
    if not row.what:
        return Text.assemble(tree, (f"attempt {row.attempt} ", "dim"), told)
    if row.attempt > 1 and row.state not in UNSETTLED:
        told.append(f", attempt {row.attempt}", "dim")
    what = Text(row.what, "bold" if row.marked or not row.until else "")
    if width and tree.cell_len + told.cell_len + what.cell_len > width:
        what.truncate(max(width - tree.cell_len - told.cell_len - 1, LEAST_NAME), overflow="ellipsis")
    return Text.assemble(tree, what, told)


def _style(state: str) -> str:
    return "green" if state == CLASSIFIED else STYLES.get(state, "")


def _times(row: Row, first: int, wide: bool) -> str:
    """Return the columns of times: since the start, how long it waited, how long it took."""
    at = span(max(row.begun - first, 0)) if row.begun else ""
    known = row.sent and row.until and (row.consumer or row.state != RUNNING)
    waited = span(row.waited) if known else ""
    took = span(row.took) if row.work else ""
    return f"{at:>{TIME}}" + (f"{waited:>{TIME}}" if wide else "") + f"{took:>{TIME}}"


def _bar(row: Row, width: int, first: int, last: int) -> Text:
    """Return the bar of a row, of exactly this width: where it waited, and where it was worked on."""
    if not width:
        return Text("")
    cells, scale = [" "] * width, (width - 1) / max(last - first, 1)

    def draw(sign: str, since: int, until: int) -> None:
        start, end = (min(max(round((ms - first) * scale), 0), width - 1) for ms in (since, until))
        cells[start : end + 1] = sign * (end + 1 - start)

    if not row.until:
        draw(SENT, row.sent, row.sent)
        return Text("".join(cells), "bold")
    draw(WAITS, row.sent or row.begun, row.until)
    for taken, settled in row.work:
        draw(WORKS, taken, settled)
    bar = Text("".join(cells), _style(row.state))
    bar.highlight_regex(f"{WAITS}+", "not bold dim")
    return bar


def _ends(trace: Trace, found: list[Row]) -> tuple[int, int]:
    """Return when the picture begins and ends, in ms."""
    moments = [ms for row in found for ms in (row.sent, row.begun, row.until) if ms]
    return min(moments, default=0), max(moments, default=0)


def _state(root: Traced) -> str:
    """Return how an event without a record of a flow has ended, by its deliveries."""
    states = {handling.state for handling in _handlings(root)}
    if FAILED in states:
        return FAILED
    return RUNNING if states & set(UNSETTLED) else COMPLETED


def _handlings(message: Traced) -> Iterator[Handling]:
    for handling in message.handlings:
        yield handling
        for sent in handling.sent:
            yield from _handlings(sent)


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    line.rstrip()
    line.no_wrap = True
    return line
