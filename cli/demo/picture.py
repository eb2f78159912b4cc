"""The demo's picture: pure functions of snapshots. Each frame is made anew of the pulse and of what is known
about the sending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.output import STYLES, clean, clock, span
from hybrid.inspect.flows import LogLine
from hybrid.inspect.pulse import Pulse

SPARKS = " ▁▂▃▄▅▆▇█"
NEWEST = 8
FIXED = 14
"""Lines of a frame that are always there."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame is made of. `elapsed` in seconds; `rates` are deliveries per second, newest last."""

    pulse: Pulse
    total: int
    sent: int
    elapsed: float
    rates: tuple[float, ...]


def picture(frame: Frame, height: int) -> RenderableType:
    """Return a frame for a terminal of so many lines: what does not fit is left out, the least busy first."""
    rows = max(height - NEWEST - FIXED, 3)
    tables = Table.grid(padding=(0, 3), expand=True)
    tables.add_column(ratio=1)
    tables.add_column(ratio=1)
    tables.add_row(components(frame.pulse, rows), broadcasts(frame.pulse, rows))
    happenings = Group(*(happening(line) for line in interesting(frame.pulse.recent)))
    return Panel(
        Group(_head(frame), Text(""), tables, Text(""), Text("just now", "bold"), happenings),
        title="[bold]the bookstore[/]",
        subtitle=f"{frame.elapsed:.1f} s",
        border_style="dim",
    )


def line(frame: Frame) -> str:
    """Return a frame on one line, for where there is no terminal."""
    pulse = frame.pulse
    outcomes = (
        ", ".join(f"{number} {state}" for state, number in sorted(pulse.outcomes.items())) or "none ended"
    )
    return (
        f"{frame.elapsed:5.1f} s  {frame.sent}/{frame.total} sent, {outcomes},"
        f" {pulse.unfinished} flows under way,"
        f" {pulse.deliveries:,} deliveries done, {pulse.outstanding} waiting"
    )


def components(pulse: Pulse, rows: int) -> Table:
    """Return who has done how much, and what waits for whom."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("who")
    for title in ("done", "waiting", "at work"):
        table.add_column(title, justify="right")
    for group in sorted(pulse.groups, key=lambda group: -pulse.settled.get(group.group, 0))[:rows]:
        if group.group:
            waiting, pending = group.waiting + group.later + group.repair, group.pending
            numbers = (pulse.settled.get(group.group, 0), waiting, pending)
            table.add_row(f"[cyan]{group.group}[/]", *(f"{n:,}" if n else "[dim]·[/]" for n in numbers))
    return table


def broadcasts(pulse: Pulse, rows: int) -> Table:
    """Return what was broadcast how often, and who listened."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("broadcast")
    table.add_column("times", justify="right")
    table.add_column("heard by")
    for event, number in sorted(pulse.messages("topic").items(), key=lambda pair: -pair[1])[:rows]:
        heard = listeners(pulse, event)
        table.add_row(
            event, f"{number:,}", ", ".join(f"[magenta]{who}[/]" for who, _ in heard) or "[dim]nobody[/]"
        )
    return table


def listeners(pulse: Pulse, event: str) -> list[tuple[str, int]]:
    """Return who has handled an event, and how often."""
    return sorted((who, number) for (what, who), number in pulse.heard.items() if what == event)


def happening(line: LogLine) -> Text:
    """Return one delivery of the settle log."""
    flow = f" {line.flow}" if line.flow else ""
    again = f" (attempt {line.attempt})" if line.attempt > 1 else ""
    parts = (
        (f"{clock(line.settled)}  ", "dim"),
        (f"{line.component:<18} ", "cyan"),
        (f"{line.outcome:<10} ", STYLES.get(line.outcome, "")),
        (clean(line.type), ""),
        (f"{flow}{again}  {clean(line.note)}", "dim"),
    )
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def interesting(recent: Sequence[LogLine]) -> list[LogLine]:
    """Return the newest deliveries; wake-ups of mediators say little, unless they end a flow."""
    chosen = [line for line in recent if line.type != "wake-up" or line.outcome == "ended"]
    return chosen[-NEWEST:]


def sparkline(values: Sequence[float]) -> str:
    """Return values as a line of bars."""
    most = max(values, default=0.0)
    return "".join(SPARKS[round(value / most * (len(SPARKS) - 1))] if most else SPARKS[0] for value in values)


def _head(frame: Frame) -> Table:
    pulse = frame.pulse
    head = Table.grid(padding=(0, 2))
    for row in (("sent", frame.sent), ("ended", pulse.ended)):
        head.add_row(
            Text(row[0], "bold"), ProgressBar(frame.total, row[1], width=30), f"{row[1]}/{frame.total}"
        )
    states = [
        Text(f"{number} {state}", STYLES.get(state, "")) for state, number in sorted(pulse.outcomes.items())
    ]
    told = [part for state in states for part in (state, Text("  "))]
    told.append(Text(f"{pulse.unfinished} under way", "cyan"))
    if pulse.retried:
        told.append(Text(f"  {pulse.retried} retried", "yellow"))
    head.add_row(Text("flows", "bold"), Text.assemble(*told), "")
    now = frame.rates[-1] if frame.rates else 0.0
    head.add_row(Text("deliveries", "bold"), Text(sparkline(frame.rates[-30:]), "green"), f"{now:,.0f}/s")
    return head


def took(p50: int, p99: int) -> str:
    """Return two percentiles as text."""
    return f"p50 {span(p50)}, p99 {span(p99)}"
