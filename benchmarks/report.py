"""From the figures of all rounds to a table: on the terminal by rich, in README.md between two markers."""

import os
import platform
import statistics
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.cases import Case, Command, Target

Results = dict[Command, list[dict[str, Any]]]

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
PACKAGES = ("redis", "hiredis", "uvloop", "pydantic", "msgpack", "orjson", "faststream", "celery", "kombu")
NOTHING = "–"


class Row(NamedTuple):
    """One line of the table, as text; figures as `median (lowest – highest)`."""

    case: str
    what: str
    ours: str
    rival: str
    theirs: str
    ratio: str
    target: str
    met: str


HEADINGS = Row("", "what", "hybrid", "compared with", "theirs", "ratio", "target", "met")


def number(value: float) -> str:
    """Three digits or so: 12,345, 12.3, 1.23, 0.123."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def spread(values: list[float], unit: str = "") -> str:
    """Median and range, as text; a dash for no values."""
    if not values:
        return NOTHING
    middle = f"{number(statistics.median(values))} {unit}".strip()
    if unit == "/s":
        middle = middle.replace(" /s", "/s")
    return f"{middle} ({number(min(values))} – {number(max(values))})"


def values(results: Results, command: Command, field: str) -> list[float]:
    """The figure in every round; empty for a command that was not run."""
    return [float(line[field]) for line in results.get(command, [])]


def verdict(target: Target | None, figures: list[float]) -> tuple[str, str]:
    """The target, and whether the median keeps it, as text."""
    if target is None:
        return NOTHING, NOTHING
    if not figures:
        return str(target), NOTHING
    return str(target), "yes" if target.met(statistics.median(figures)) else "no"


def rows(cases: Iterable[Case], results: Results) -> Iterator[Row]:
    """A line for each rival of each case; one line for a case without."""
    for case in cases:
        ours = values(results, case.ours, case.field)
        shown = spread(ours, case.unit)
        if not case.rivals:
            yield Row(case.letter, case.what, shown, NOTHING, NOTHING, NOTHING, *verdict(case.own, ours))
        for rival in case.rivals:
            theirs = values(results, rival.command, case.field)
            ratios = [mine / other for mine, other in zip(ours, theirs, strict=False)]
            ends = verdict(rival.target, ratios)
            other = spread(theirs, case.unit)
            yield Row(case.letter, case.what, shown, rival.name, other, spread(ratios), *ends)


def rich_table(lines: list[Row]) -> Table:
    """The table for the terminal."""
    table = Table(*HEADINGS, title="medians (lowest – highest); ratio = hybrid / theirs, round by round")
    for row in lines:
        colour = {"yes": "green", "no": "red"}.get(row.met, "default")
        table.add_row(*row[:-1], f"[{colour}]{row.met}[/]")
    return table


def markdown_table(lines: list[Row]) -> str:
    """The table for README.md."""
    text = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    return "\n".join(text + ["| " + " | ".join(row) + " |" for row in lines])


def circumstances(server: str, transport: str, rounds: int, quick: bool) -> str:
    """Date, machine (cores only), server and versions, as one paragraph."""
    versions = [f"{name} {known}" for name in PACKAGES if (known := package_version(name))]
    kind = " of a tenth of the work (--quick: a smoke test, not a measurement)" if quick else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{server} over {transport}, append-only file everysec, {rounds} interleaved rounds{kind}; "
        f"{', '.join(versions)}."
    )


def package_version(name: str) -> str | None:
    """The installed version, or None."""
    try:
        return installed(name)
    except PackageNotFoundError:
        return None


def settings(results: Results) -> str:
    """The settings that the programs state about themselves, one list item each."""
    said = {}
    for lines in results.values():
        for line in lines:
            parts = [f"{key}: {line[key]}" for key in ("settings", "pool") if key in line]
            if parts:
                said[line.get("rival", line.get("ours", "?"))] = "; ".join(parts)
    return "\n".join(f"- {name}: {text}" for name, text in said.items())


def write(readme: Path, text: str) -> None:
    """Put the text between the two markers.

    Raises:
        ValueError: the markers are not there, once each and in this order.
    """
    old = readme.read_text()
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise ValueError(f"{readme} needs the lines {BEGIN} and {END}, once each and in this order")
    head, rest = old.split(BEGIN)
    readme.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")
