"""`hybrid tasks`: what flows ask people: list it, claim it, answer it, give it to somebody else."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from cli import completion
from cli.assignments import how, left, told
from cli.environment import environment, run
from cli.forms import ask_choice, ask_form
from cli.moments import span_of
from cli.options import Json, Who, taking, user
from cli.output import Column, as_json, clean, is_terminal, out, show, span, table
from cli.reading import BadInput, made_of, parsed
from hybrid.inspect.people import People
from hybrid.inspect.tasks import ANYONE, TaskDetail, TaskView, open_tasks, task, to_answer
from hybrid.mediator.answers import Answer, filled_in
from hybrid.messages import kebab

EXAMPLES = (
    "Examples:\n\n`hybrid tasks list --for manager --older-than 1d`\n\n"
    "`hybrid tasks show 7b1c0a64f0d94d2c8f11aa02/3`\n\n`hybrid tasks claim 7b1c0a64f0d94d2c8f11aa02/3`\n\n"
    "`hybrid tasks complete 7b1c0a64f0d94d2c8f11aa02/3 --choice approve --note 'a good customer'`\n\n"
    "`hybrid tasks complete 7b1c0a64f0d94d2c8f11aa02/3 --set amount=12.50 --set 'tags:=[\"a\"]'`\n\n"
    "`hybrid tasks reassign 7b1c0a64f0d94d2c8f11aa02/3 --to director --reason 'on leave'`\n\n"
    "An ID is FLOW/STEP; FLOW alone is enough when only one of its tasks is open."
)
COLUMNS = [
    Column("task", keep=True),
    Column("for"),
    Column("claimed by"),
    Column("age", right=True),
    Column("due in", right=True),
    Column("event"),
    Column("question"),
]

app = typer.Typer(name="tasks", help="List, show, claim and complete what flows ask people.", epilog=EXAMPLES)
Id = Annotated[str, typer.Argument(metavar="ID", help="As in the list.", autocompletion=completion.tasks)]


@app.callback(invoke_without_command=True)
def tasks_command(ctx: typer.Context) -> None:
    """List, show, claim and complete what flows ask people."""
    if ctx.invoked_subcommand is None:
        list_tasks(ctx)


@app.command(name="list", epilog=EXAMPLES)
def list_tasks(
    ctx: typer.Context,
    for_: Annotated[str, typer.Option("--for", metavar="NAME", help="Only those for somebody.")] = "",
    type: Annotated[str, typer.Option(help="Only those of flows of an event type.")] = "",
    older_than: Annotated[
        str, typer.Option(metavar="SPAN", help="Only those asked so long ago or longer: 30m, 2d.")
    ] = "",
    most: Annotated[int, typer.Option("--limit", "-n", help="How many.", min=1)] = 20,
    as_data: Json = False,
) -> None:
    """List the open tasks, oldest first."""
    age = span_of("--older-than", older_than) // timedelta(milliseconds=1) if older_than else 0

    async def work() -> list[TaskView]:
        async with environment(ctx).store() as (_, store):
            return await open_tasks(store, for_=for_, type=kebab(type), older_than=age, most=most)

    found = run(work)
    if as_data:
        as_json(found)
        return
    now = int(time.time() * 1000)
    empty = "nobody is asked anything" + (" of this kind" if for_ or type or older_than else "")
    table(COLUMNS, [_row(each, now) for each in found], empty)
    if len(found) == most and is_terminal():
        out(f"the oldest {most:,} (--limit shows more)")


@app.command(name="show", epilog=EXAMPLES)
def show_task(ctx: typer.Context, id: Id, as_data: Json = False) -> None:
    """Show a task: what is asked, of whom, with which facts, what the answer must be; or how it ended."""

    async def work() -> TaskDetail:
        async with environment(ctx).store() as (app, store):
            return await task(store, app.topology, id)

    found = run(work)
    if as_data:
        as_json(found)
    else:
        show(*told(found, int(time.time() * 1000)))


@app.command(name="claim", epilog=EXAMPLES)
def claim_task(
    ctx: typer.Context,
    id: Id,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Also when somebody else has claimed it.")
    ] = False,
    who: Who = "",
    as_data: Json = False,
) -> None:
    """Claim a task: nobody else answers it from then on, unless it is taken over or reassigned."""
    by = who or user()

    async def work() -> TaskView:
        async with environment(ctx).store() as (app, store):
            await People(store, app.topology).claim(id, by, take_over=take_over)
            return (await task(store, app.topology, id)).task

    _say(run(work), f"claimed by {by}", as_data)


@dataclass(frozen=True, slots=True)
class Completing:
    """What `hybrid tasks complete` is given."""

    id: Id
    choice: Annotated[str, typer.Option(help="One of its choices.")] = ""
    fields: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of its form; may be repeated."),
    ] = None
    data: Annotated[str | None, typer.Option(help="The form, as a JSON object.")] = None
    note: Annotated[str, typer.Option(help="Why; it stands in the flow's history.")] = ""
    who: Who = ""
    as_data: Json = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is answered yet."""
        return not self.choice and not self.fields and self.data is None


@app.command(name="complete", epilog=EXAMPLES)
@taking(Completing)
def complete_task(ctx: typer.Context, given: Completing) -> None:
    """Answer a task: --choice, or --set and --data for a form; on a terminal it asks for what is not given.

    The answer is checked first, and nothing is written when it is wrong. Who and why is in the flow's
    history.
    """
    if given.fields and given.data is not None:
        raise BadInput("give the form as --set or as --data, not both")
    by, env = given.who or user(), environment(ctx)

    async def look() -> tuple[TaskDetail, type[BaseModel] | None]:
        async with env.store() as (app, store):
            _, form = await to_answer(store, app.topology, given.id)
            return await task(store, app.topology, given.id), form

    detail, form = run(look)
    choice, data = _answer(given, detail, form)

    async def work() -> None:
        async with env.store() as (app, store):
            await People(store, app.topology).answer(detail.task.id, Answer(choice, data, by, given.note))

    run(work)
    _say(detail.task, f"{choice or 'done'}, by {by}", given.as_data)


@app.command(name="reassign", epilog=EXAMPLES)
def reassign_task(
    ctx: typer.Context,
    id: Id,
    to: Annotated[str, typer.Option(metavar="NAME", help="For whom it is from now on.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the flow's history.")] = "",
    who: Who = "",
    as_data: Json = False,
) -> None:
    """Give a task to somebody else. Whoever has claimed it, has not any more."""

    async def work() -> TaskView:
        async with environment(ctx).store() as (app, store):
            await People(store, app.topology).reassign(id, to, who or user(), reason)
            return (await task(store, app.topology, id)).task

    _say(run(work), f"is for {to}", as_data)


def _answer(
    given: Completing, detail: TaskDetail, form: type[BaseModel] | None
) -> tuple[str, dict[str, Any] | None]:
    """Return the choice and the form's data. Raises BadInput and InvalidMessage."""
    task = detail.task
    if given.is_empty and (task.choices or form):
        if not sys.stdin.isatty():
            raise BadInput(f"say what: `{how(detail)}`")
        show(*told(detail, int(time.time() * 1000)))
        return (ask_choice(task.choices), None) if form is None else ("", ask_form(form, task.id))
    if given.data is not None:
        return given.choice, parsed(given.data)
    if not given.fields:
        return given.choice, None
    if form is None:
        raise BadInput(f"task {task.id} has no form: `{how(detail)}`")
    return given.choice, made_of(given.fields, lambda data: filled_in(form, data, task.id))


def _say(task: TaskView, what: str, as_data: bool) -> None:
    if as_data:
        as_json(task)
    else:
        out(clean(f"{task.id}: {what}"))


def _row(task: TaskView, now: int) -> list[Any]:
    age = span(max(now - task.asked, 0))
    due = left(task, now)
    return [task.id, task.for_ or ANYONE, task.claimed_by, age, due, task.type, task.question]
