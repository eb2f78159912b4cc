"""How `hybrid tail` tells of happenings: as the lines of a table that grows, as CloudEvents, or in a format
of the user's own.
"""

from __future__ import annotations

import json
import select
import shutil
import string
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.text import Text

from cli.output import STYLES, clean, clock, compact, is_terminal, out, show
from hybrid.cloudevents import timestamp
from hybrid.envelope import Envelope
from hybrid.errors import SettingsError
from hybrid.inspect.happenings import BROADCAST, UNDECODABLE, Happening

NAMES = (
    "time", "what", "type", "id", "component", "flow", "step", "attempt", "key", "class", "channel",
    "correlation", "cause", "consumer", "took", "note", "data", "entry", "shard",
)  # fmt: skip
"""What a format may name. `time` is in UTC; `step`, `attempt`, `took` (ms) and `shard` are numbers."""
TITLES = ("TIME", "WHAT", "TYPE", "BY", "KEY", "FLOW", "DETAILS")
FLOW, DETAILS = 5, 6
LEAST = (12, 10, 12, 8, 3, 4, 0)
"""How wide the columns are at least; they grow with what comes, and never shrink."""
MOST = 40
"""How wide a column may get."""
NARROW = 120
"""A terminal of less columns shows no flows."""

Teller = Callable[[Sequence[Happening]], None]


def telling(how: str, app: str) -> Teller:
    """Return what tells happenings in this way: `table`, `json` or a format. Raises SettingsError for
    another.
    """
    if how == "table":
        return Table().tell
    if how == "json":
        return lambda some: _print(json.dumps(each.cloud_event(app), ensure_ascii=False) for each in some)
    if "{" not in how:
        raise SettingsError(
            f"--output {how!r}: is table, json, or a format such as '{{time}} {{type}} {{key}}'"
        )
    form = Form(how)
    return lambda some: _print(map(form.line, some))


def facts(each: Happening) -> dict[str, Any]:
    """Return what a format may name of a happening."""
    envelope = each.envelope
    values: tuple[Any, ...] = (
        timestamp(each.time), each.what, each.type, envelope.id, each.component, each.flow, envelope.step,
        envelope.attempt, each.key, each.event_class, each.channel, envelope.correlation, envelope.cause,
        each.consumer, each.time - each.taken if each.taken else 0, each.note, compact(each.data),
        each.entry, each.shard,
    )  # fmt: skip
    return dict(zip(NAMES, values, strict=True))


class Form(string.Formatter):
    """A format of the user's own, as str.format has it, with the names of NAMES and nothing else.

    Raises SettingsError for one that names something else, or does not fit.
    """

    def __init__(self, text: str) -> None:
        self._text = text.replace("\\t", "\t")
        try:
            self.line(Happening((0, 0, 0, 0), "", Envelope("", ""), "", "", ""))
        except KeyError as error:
            raise SettingsError(
                f"--output: there is no {{{error.args[0]}}} in a format; there are: {', '.join(NAMES)}"
            ) from None
        except (ValueError, TypeError) as error:
            raise SettingsError(f"--output {text!r}: is no format: {error}") from None

    def line(self, each: Happening) -> str:
        """Return the line that tells a happening."""
        values = {n: clean(v) if isinstance(v, str) else v for n, v in facts(each).items()}
        return self.vformat(self._text, (), values)

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        """Return a value by its name: no attributes, no items."""
        if field_name not in kwargs:
            raise KeyError(field_name)
        return kwargs[field_name], field_name


class Table:
    """Lines of a table of which nobody knows how long it gets."""

    def __init__(self) -> None:
        self._widths = list(LEAST)
        self._begun = False

    def tell(self, some: Sequence[Happening]) -> None:
        """Print happenings."""
        if not some:
            return
        width = shutil.get_terminal_size().columns
        lines = self.lines(some, narrow=is_terminal() and width < NARROW)
        if is_terminal():
            for line in lines:
                line.truncate(width, overflow="ellipsis")
            show(*lines)
        else:
            _print(line.plain for line in lines)

    def lines(self, some: Sequence[Happening], *, narrow: bool = False) -> list[Text]:
        """Return happenings as lines, the titles before the first ones."""
        rows = [_cells(each) for each in some]
        for row in rows:
            self._widths = [
                max(width, min(len(cell), MOST)) for width, cell in zip(self._widths, row, strict=True)
            ]
        titles = [] if self._begun else [self._line(TITLES, "bold", "bold", narrow)]
        self._begun = True
        colours = [STYLES.get(each.what, "cyan" if each.what == BROADCAST else "") for each in some]
        pairs = zip(rows, colours, strict=True)
        return [*titles, *(self._line(row, "dim", colour, narrow) for row, colour in pairs)]

    def _line(self, cells: Sequence[str], time_style: str, style: str, narrow: bool) -> Text:
        line = Text()
        for place, (cell, width) in enumerate(zip(cells, self._widths, strict=True)):
            if narrow and place == FLOW:
                continue
            text = cell if place == DETAILS else f"{cell.ljust(width)}  "
            line.append(text, (time_style, style)[place] if place < 2 else "bold" if style == "bold" else "")
        line.rstrip()
        return line


def unread() -> bool:
    """Tell whether nobody can read stdout any more: the other end of the pipe is closed."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(events & select.POLLERR for _, events in poll.poll(0))
    except (OSError, ValueError, AttributeError):  # no file, or a system without poll
        return False


def _print(lines: Any) -> None:
    if text := "\n".join(lines):
        out(text)


def _cells(each: Happening) -> list[str]:
    parts = [
        f"step {each.envelope.step}" if each.envelope.step else "",
        f"attempt {each.envelope.attempt}" if each.envelope.attempt > 1 else "",
        each.note,
        compact(each.data),
    ]
    if each.what == UNDECODABLE:
        parts.append(f"entry {each.entry}")
    details = "  ".join(part for part in parts if part)
    cells = (clock(each.time), each.what, each.type, each.component, each.key, each.flow, details)
    return [clean(cell) for cell in cells]
