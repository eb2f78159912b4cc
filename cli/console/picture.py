"""The picture of the console: pure functions of a snapshot, the state, and the terminal's size."""

from __future__ import annotations

from typing import NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from cli.console.state import VIEWS, State
from cli.console.views import ALL, Row, View, rows_of, sparkline
from cli.output import STYLES
from hybrid.inspect.snapshot import Snapshot

HEADS = 3
"""Lines above and below the body."""
HELP = (
    ("1–6, e f c r x t", "the views: events, flows, channels, processors, the desk, tasks"),
    ("↑ ↓ j k, page keys, g G", "move"),
    ("enter", "open: a flow's waterfall, an event with its data, a channel's entries, a failure, a task"),
    ("escape", "back, and out with the filter"),
    ("/", "filter: words, or column=text; enter keeps it, escape drops it"),
    ("p, space", "pause, and go on"),
    ("R", "send a failure back (with --allow-actions)"),
    ("?", "these keys"),
    ("q", "leave; nothing that runs notices"),
)


class Size(NamedTuple):
    """A terminal's size, in characters."""

    width: int
    height: int


def picture(
    snapshot: Snapshot, state: State, size: Size, detail: RenderableType | None = None, said: str = ""
) -> RenderableType:
    """Return a frame: the head, what the state has chosen, and the foot. `said` is a message for the foot."""
    view = ALL[state.view]
    rows = rows_of(view, snapshot, state.filter)
    room = max(size.height - HEADS - 2, 1)
    if state.help:
        body: RenderableType = help_table()
    elif state.opened:
        body = detail or Text("looking …", "dim")
    elif rows:
        body = table(view, rows, state.cursor, room)
    else:
        body = Text(f"\n  {'nothing matches the filter' if state.filter else view.empty}", "dim")
    fitted = fit(body, state.scroll if state.opened else 0, Size(size.width, max(size.height - HEADS, 1)))
    return Group(head(snapshot, size.width), tabs(state), fitted, foot(snapshot, state, len(rows), said))


def head(snapshot: Snapshot, width: int) -> Text:
    """Return what answers at a glance: how much flows, waits, has ended and failed."""
    alive = sum(consumer.alive for consumer in snapshot.consumers)
    rate = snapshot.rates[-1] if snapshot.rates else 0
    failed, bars = snapshot.failed, sparkline(snapshot.rates, min(max(width - 90, 8), 60))
    ended = "".join(f"  {state} {number:,}" for state, number in sorted(snapshot.ended.items()))
    return Text.assemble(
        (snapshot.app, "bold"),
        f"  {rate:,.0f}/s ",
        (bars, "green"),
        f"  flows {snapshot.unfinished:,}  waiting {snapshot.waiting:,}",
        f"  tasks {snapshot.asked:,}" if snapshot.asked else "",
        (f"  failed {failed:,}", "bold red" if failed else ""),
        (f"  workers {alive}", "" if alive else "bold red"),
        (ended, "green"),
        (f"  {snapshot.address}", "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def tabs(state: State) -> Text:
    """Return the views with their keys."""
    parts: list[tuple[str, str]] = []
    for number, name in enumerate(VIEWS, 1):
        parts.append((f" {number} {name} ", "reverse" if name == state.view else "dim"))
    if state.filter or state.typing:
        parts.append((f"   /{state.filter}{'▏' if state.typing else ''}", "yellow"))
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def table(view: View, rows: list[Row], cursor: int, room: int) -> Table:
    """Return the rows around the cursor."""
    at = min(cursor, len(rows) - 1)
    first = max(0, min(at - room // 2, len(rows) - room))
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=True, show_edge=False)
    last = len(view.columns) - 1
    for place, column in enumerate(view.columns):
        made.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if place == last else None,
        )
    for place, row in enumerate(rows[first : first + room], first):
        cells = [Text(cell, STYLES.get(cell, "")) for cell in row.cells]
        made.add_row(*cells, style="reverse" if place == at else "")
    return made


def foot(snapshot: Snapshot, state: State, rows: int, said: str) -> Text:
    """Return how much is shown, whether it is a sample, and the keys that matter."""
    shown = f" {min(state.cursor + 1, rows)}/{rows}" if rows and not state.opened else ""
    sample = "  sampled: more was delivered than is shown" if snapshot.sampled else ""
    pause = "  PAUSED" if state.paused else ""
    return Text.assemble(
        (said or shown, "bold yellow" if said else "dim"),
        (pause, "bold yellow"),
        ("   enter open  / filter  p pause  ? keys  q leave", "dim"),
        (sample, "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def help_table() -> Table:
    """Return the keys."""
    made = Table(box=None, pad_edge=True, show_header=False)
    for keys, meaning in HELP:
        made.add_row(Text(keys, "bold"), meaning)
    return made


def fit(body: RenderableType, first: int, size: Size) -> RenderableType:
    """Return the lines of the body from the first one on, exactly as many as there is room for."""
    console = Console(width=size.width, highlight=False, force_terminal=True)
    lines = console.render_lines(body, console.options.update(width=size.width, height=None))
    start = min(first, max(len(lines) - size.height, 0))
    shown = Segment.set_shape(lines[start : start + size.height], size.width, size.height)
    return Segments([segment for line in shown for segment in (*line, Segment.line())])


def plain(snapshot: Snapshot) -> str:
    """Return a snapshot on one line, for where there is no terminal."""
    rate = snapshot.rates[-1] if snapshot.rates else 0
    ended = ", ".join(f"{number} {state}" for state, number in sorted(snapshot.ended.items())) or "none ended"
    return (
        f"{rate:,.0f} deliveries/s, {snapshot.unfinished:,} flows under way, {ended},"
        f" {snapshot.waiting:,} waiting, {snapshot.failed:,} failed"
    )
