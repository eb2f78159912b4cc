"""People's tasks as pictures: pure functions of what the store says of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from cli.forms import fields_of
from cli.output import STYLES, clean, clock, compact, span
from hybrid.inspect.tasks import ANYONE, OPEN, TaskDetail, TaskView

ASK = 12
"""How wide the names of facts are."""


def left(task: TaskView, now: int) -> str:
    """Return how long there is left to answer, `now` being in ms; "" when there is no end."""
    if not task.due:
        return ""
    return span(task.due - now) if task.due > now else "over"


def told(detail: TaskDetail, now: int) -> list[Text]:
    """Return a task, whole, as lines: what is asked, of whom, with which facts, and how to answer."""
    task = detail.task
    lines = [
        Text.assemble(
            ("task ", "dim"), (task.id, "bold"), "  ", (detail.state, STYLES.get(detail.state, "cyan")),
            "  ", (clean(task.question), "bold"),
        ),
        _fact("for", clean(task.for_ or ANYONE)),
        _fact("asked", f"{clock(task.asked)}, {span(max(now - task.asked, 0))} ago"),
    ]  # fmt: skip
    if task.due and detail.state == OPEN:
        lines.append(_fact("due", f"{clock(task.due)}, {left(task, now)} left"))
    if task.claimed_by and detail.state == OPEN:
        lines.append(_fact("claimed by", f"{clean(task.claimed_by)}, since {clock(task.claimed)}"))
    if task.escalates and detail.state == OPEN:
        lines.append(_fact("escalates", f"to {clean(task.escalates_to)} at {clock(task.escalates)}"))
    if task.reminded:
        lines.append(_fact("reminded", f"{task.reminded} time{'s' if task.reminded > 1 else ''}"))
    lines += [_fact("flow", f"{task.flow}  {task.type}")]
    lines += [_fact("about" if not n else "", each) for n, each in enumerate(_about(task))]
    return [*lines, *(_to_do(detail) if detail.state == OPEN else _done(detail))]


def answered(choice: str, note: str, data: Any) -> str:
    """Return an answer on one line."""
    said = choice or (compact(data) if data is not None else "done")
    return f"{said} ({note})" if note else said


def how(detail: TaskDetail) -> str:
    """Return the command line that answers a task."""
    task, schema = detail.task, detail.schema
    words = f" --choice {'|'.join(task.choices)}" if task.choices else ""
    if schema:
        words = (
            "".join(f" --set {field.name}=…" for field in fields_of(schema) if field.is_required)
            or " --set …"
        )
    return clean(f"hybrid tasks complete {task.id}{words}")


def _about(task: TaskView) -> Iterable[str]:
    for name, value in task.about.items():
        yield f"{clean(name)}: {clean(value) if isinstance(value, str) else compact(value)}"


def _to_do(detail: TaskDetail) -> list[Text]:
    task, lines = detail.task, []
    if task.choices:
        lines.append(_fact("choices", clean(", ".join(task.choices))))
    if detail.schema:
        fields = fields_of(detail.schema)
        lines += [
            _fact(
                "" if n else "form",
                f"{field.name}  {field.rule}{'' if field.is_required else ' (may be left out)'}"
                f"{f'  {field.about}' if field.about else ''}",
            )
            for n, field in enumerate(fields)
        ]
    elif task.form:
        lines.append(_fact("form", f"{task.form}, which the application here does not have"))
    return [*lines, Text(""), Text(f"`{how(detail)}`", "dim")]


def _done(detail: TaskDetail) -> list[Text]:
    said = f"{clock(detail.at)}" + (f" by {clean(detail.by)}" if detail.by else "")
    lines = [_fact(detail.state, said)]
    if detail.choice:
        lines.append(_fact("choice", clean(detail.choice)))
    if detail.data is not None:
        lines.append(_fact("answer", compact(detail.data)))
    if detail.note:
        lines.append(_fact("note", clean(detail.note)))
    return lines


def _fact(name: str, value: str) -> Text:
    return Text.assemble((f"{name:<{ASK}}", "dim"), value)
