"""What stands at the desk, as rows and pictures: pure functions of records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group as Lines
from rich.text import Text

from cli.output import Column, clean, clock, compact, span
from hybrid.inspect.desk import Group
from hybrid.inspect.desk_log import LogLine
from hybrid.inspect.editing import changes
from hybrid.inspect.failures import FailureView

GROUPS = [
    Column("group", keep=True),
    Column("count", right=True, keep=True),
    Column("again", right=True, keep=True),
    Column("sent back", right=True, keep=True),
    Column("first", right=True, keep=True),
    Column("last", right=True, keep=True),
    Column("cause"),
    Column("type"),
]
FAILURES = [
    Column("id", keep=True),
    Column("age", right=True),
    Column("message"),
    Column("handler"),
    Column("attempts", right=True),
    Column("again", right=True),
    Column("error"),
]
LOG = [
    Column("when", keep=True),
    Column("who"),
    Column("action"),
    Column("failure", keep=True),
    Column("type"),
    Column("now"),
    Column("reason"),
    Column("changed"),
]


def group_rows(groups: Sequence[Group], now: int) -> list[list[Any]]:
    """Return the groups as rows of GROUPS; ages instead of times."""
    return [
        [
            group.id,
            f"{group.count:,}",
            f"{group.failed_again:,}" if group.failed_again else "",
            f"{group.sent_back:,}" if group.sent_back else "",
            _age(now - group.first),
            _age(now - group.last),
            group.fingerprint,
            ", ".join(group.types),
        ]
        for group in groups
    ]


def failure_rows(views: Sequence[FailureView], now: int) -> list[list[Any]]:
    """Return failures as rows of FAILURES."""
    return [
        [
            view.id,
            span(max(now - view.failed, 0)),
            view.type,
            view.handler,
            view.attempts,
            view.sent_back or "",
            f"{view.error}: {view.reason}",
        ]
        for view in views
    ]


def log_rows(lines: Sequence[LogLine]) -> list[list[Any]]:
    """Return lines of the desk's log as rows of LOG."""
    return [
        [
            clock(line.when),
            line.who,
            line.action,
            line.failure,
            line.type,
            line.new if line.new != line.message else "",
            line.reason,
            _changed(line),
        ]
        for line in lines
    ]


def whole(view: FailureView) -> Lines:
    """Return a failure as a picture."""
    facts = {
        "id": view.id,
        "message": f"{view.type} {view.message}",
        "flow": f"{view.flow}, step {view.step}" if view.step else view.flow,
        "failed in": f"{view.handler} (from {view.channel})",
        "failed at": clock(view.failed),
        "sent at": clock(view.sent),
        "attempts": str(view.attempts),
        "again": f"it was sent back before ({view.sent_back})" if view.sent_back else "",
        "key": view.key,
        "data": compact(view.data),
        "error": f"{view.error}: {view.reason}",
        "note": view.source[1].note,
        "group": f"{view.group}  {view.fingerprint}",
    }
    lines = [Text.assemble((f"{name:>10}  ", "dim"), clean(value)) for name, value in facts.items() if value]
    trace = [Text(f"            {clean(line)}", "dim") for line in view.traceback.splitlines()]
    hint = (
        f"`hybrid desk restore {view.id}` brings it back to the desk"
        if view.archived
        else f"`hybrid desk retry {view.id}` sends it back; edit, discard and archive are the other ways"
    )
    return Lines(*lines, *trace, Text.assemble(("            ", ""), (hint, "dim")), Text(""))


def _age(ms: int) -> str:
    """Return an age in one unit, for where there is little room."""
    return " ".join(span(max(ms, 0)).split()[:2])


def _changed(line: LogLine) -> str:
    if line.before is None or line.after is None:
        return ""
    said = changes(line.before, line.after)
    return "; ".join(f"{path}: {compact(was)} → {compact(now)}" for path, was, now in said) or "a secret"
