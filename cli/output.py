"""What commands print: tables and trees for people at a terminal, plain aligned lines for pipes, JSON for
programs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any, NamedTuple

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

BROKEN_PIPE = 141
WIDE = 2_000
"""How wide a picture may be that is no terminal's: nothing is cut."""
_GREEN = ("completed", "acknowledged", "done", "good", "right", "alive", "sent back", "repaired")
_YELLOW = (
    "refused",
    "paused",
    "undoing",
    "cancelled",
    "retried",
    "passed on",
    "note",
    "timed out",
    "expired",
    "already handled",
    "in repair",
    "discarded",
)
_RED = ("failed", "wrong", "gone")
STYLES = {
    **dict.fromkeys(_GREEN, "green"),
    **dict.fromkeys(_YELLOW, "yellow"),
    **dict.fromkeys(_RED, "bold red"),
    **dict.fromkeys(("running", "waiting", "sleeping"), "cyan"),
}
"""How words that tell a state are coloured."""


class Column(NamedTuple):
    """A column of a table. `keep`: never cut it, since people copy it."""

    title: str
    right: bool = False
    keep: bool = False


def out(text: str) -> None:
    """Print to stdout. When nobody reads it any more, the program ends quietly."""
    try:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None


def err(text: str) -> None:
    """Print to stderr, for people."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        pass


def is_terminal() -> bool:
    """Tell whether somebody sits at stdout."""
    return sys.stdout.isatty()


def show(*renderables: RenderableType) -> None:
    """Print what rich can render."""
    console = Console(highlight=False, width=None if is_terminal() else WIDE)
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable)
    out(captured.get())


def as_json(value: Any) -> None:
    """Print data as JSON."""
    out(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


def table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """Print rows: as a table at a terminal, else as aligned lines. Without any, `empty` says what to do next,
    on stderr.
    """
    if not rows:
        err(empty)
        return
    cells = [[clean(cell) for cell in row] for row in rows]
    if is_terminal():
        show(_rich(columns, cells))
        return
    lines = [[column.title.upper() for column in columns], *cells]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    for line in lines:
        padded = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        out("  ".join(padded).rstrip())


def clean(value: Any) -> str:
    """Return a value on one line, without what could move a terminal's cursor or change its colours."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " if c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def compact(data: Any) -> str:
    """Return data as JSON on one line."""
    return clean(json.dumps(data, default=_plain, ensure_ascii=False)) if data is not None else ""


def styled(word: str) -> Text:
    """Return a word in the colour of the state that it tells."""
    return Text(word, style=STYLES.get(word, ""))


def clock(ms: int) -> str:
    """Return a time of day (with the date unless it is today), local, to the ms."""
    if not ms:
        return ""
    moment = datetime.fromtimestamp(ms / 1000).astimezone()
    today = datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S.%f" if moment.date() == today else "%Y-%m-%d %H:%M:%S.%f")[:-3]


def span(ms: float) -> str:
    """Return a span of time as people say it: 12 ms, 3.4 s, 5 m 10 s, 2 h 5 m, 3 d."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours < 48 else f"{hours // 24} d"


def fail(text: str, code: int = 2) -> typer.Exit:
    """Return the end of a command that went wrong, after saying how in one line."""
    err(f"error: {text}")
    return typer.Exit(code)


def _rich(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(
            column.title, justify="right" if column.right else "left", no_wrap=column.keep,
            overflow="fold" if column.keep else "ellipsis",
        )  # fmt: skip
    for row in rows:
        made.add_row(*map(styled, row))
    return made


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
