"""`hybrid desk`: what no program could repair; look at it by its causes, mend it, send it back, or put it
away.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from cli.desk.acting import Staging, Telling, act, ask, at_desk, retry_all
from cli.desk.choosing import (
    Archived,
    Chosen,
    Component,
    Id,
    InGroup,
    Since,
    Type,
    selection,
    there,
)
from cli.desk.editing import by_words, edit_by_words, edit_in_editor, picture
from cli.desk.pictures import FAILURES, GROUPS, LOG, failure_rows, group_rows, log_rows, whole
from cli.environment import environment, run
from cli.options import Json, Where, taking
from cli.output import as_json, err, show, table
from hybrid.inspect.actions import ARCHIVE, DISCARD, EDIT, RESTORE, RETRY
from hybrid.inspect.desk import Group, Selection, count, groups, newest
from hybrid.inspect.desk_log import LogLine, desk_log
from hybrid.inspect.editing import changed, changes
from hybrid.inspect.failures import FailureView, named

ONE = "payment/1700000000000-0"
EXAMPLES = (
    "Examples:\n\n`hybrid desk`\n\n`hybrid desk list --group 1f2e3d4c --since 1h`\n\n"
    f"`hybrid desk show {ONE}`\n\n`hybrid desk edit {ONE}`\n\n`hybrid desk retry --group 1f2e3d4c --stages"
    " 1,5,20,100`\n\n`hybrid desk discard --type apply-payment --since 1h --reason 'the shop is closed'`\n\n"
    "An ID is the one of the list, or the id of the message or of its flow; a GROUP is the id in `hybrid"
    " desk`."
)
EMPTY = "the desk is empty: nothing waits for a person"
NONE = "nothing at the desk is so: `hybrid desk` shows the groups, `hybrid desk list` all of it"


def _examples(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(f"`hybrid desk {line}`" for line in lines)


app = typer.Typer(
    name="desk", help="What no program could repair: look, mend, send back, put away.", epilog=EXAMPLES
)


@app.callback(invoke_without_command=True)
def desk(
    ctx: typer.Context,
    type: Type = "",
    component: Component = "",
    since: Since = "",
    archived: Archived = False,
    as_data: Json = False,
) -> None:
    """Show what waits at the desk by its causes: the exception, and the code that raised it.

    For each: how many there are, how many of these had been sent back before
    (again), how many people have sent back so far, when it happened first and last.
    """
    if ctx.invoked_subcommand:
        return
    chosen = selection("", type, component, since, None, archived)

    async def work() -> list[Group]:
        async with environment(ctx).store() as (app, store):
            return await groups(store, app.topology, chosen)

    found = run(work)
    if as_data:
        as_json([asdict(group) for group in found])
        return
    table(GROUPS, group_rows(found, _now()), EMPTY if chosen == Selection() else NONE)
    if found:
        err("`hybrid desk list --group GROUP` shows one; `hybrid desk --help` what can be done with it")


@dataclass(frozen=True)
class Listed:
    """The options of a list."""

    group: InGroup = ""
    type: Type = ""
    component: Component = ""
    since: Since = ""
    where: Where = None
    archived: Archived = False
    most: Annotated[int, typer.Option("--limit", "-n", help="How many.", min=1)] = 50
    as_data: Json = False


@app.command(
    name="list",
    epilog=_examples("list", "list --type apply-payment --since 1h", "list --where account=A1 --json"),
)
@taking(Listed)
def list_failures(ctx: typer.Context, options: Listed) -> None:
    """List what waits at the desk, newest first: which message, where, and why."""
    listed(ctx, options, EMPTY)


@app.command(name="show", epilog=_examples(f"show {ONE}", f"show {ONE} --json"))
def show_failure(ctx: typer.Context, id: Id, as_data: Json = False) -> None:
    """Show a failure whole: the message (secrets masked), the error, the traceback, what was done with it."""

    async def work() -> tuple[list[FailureView], list[LogLine]]:
        async with environment(ctx).store() as (app, store):
            found = await there(store, app.topology, id)
            return found, await desk_log(store, found[0].message or found[0].id)

    found, lines = run(work)
    if as_data:
        as_json([view.facts() for view in found])
        return
    show(*map(whole, found))
    if lines:
        table(LOG, log_rows(lines), "")


@app.command(name="diff", epilog=_examples(f"diff {ONE}", f"diff {ONE} --set shares=8756"))
def diff(
    ctx: typer.Context,
    id: Id,
    words: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="What an edit would change; nothing is sent."),
    ] = None,
    as_data: Json = False,
) -> None:
    """Show what people changed in a message before it came here, or what --set would change.

    Exit code 0 when something is different, 1 when nothing is.
    """

    async def work() -> list[tuple[str, Any, Any]]:
        async with environment(ctx).store() as (app, store):
            if words:
                (view, *_) = await there(store, app.topology, id)
                return changed(view, by_words(app.topology, view, words))
            names = [view.message for view in await named(store, app.topology, id)] or [id]
            lines = [line for name in names for line in await desk_log(store, name)]
            if not lines:
                await there(store, app.topology, id)
            edits = [line for line in lines if line.action == EDIT]
            return [each for line in edits for each in changes(line.before, line.after)]

    found = run(work)
    if as_data:
        as_json([{"field": path, "before": was, "after": now} for path, was, now in found])
    elif found:
        show(picture(found))
    else:
        err(f"nothing is different: nobody has edited it (`hybrid desk edit {id}` does)")
    if not found:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Editing(Chosen):
    """The options of an edit."""

    words: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set a field, without an editor; may be repeated."),
    ] = None


@app.command(
    name="edit",
    epilog=_examples(
        f"edit {ONE}", f"edit {ONE} --set shares=8756", "edit --group 1f2e3d4c --set side=BUY --yes"
    ),
)
@taking(Editing)
def edit(ctx: typer.Context, options: Editing) -> None:
    """Mend a message and send it back: in $EDITOR as JSON, or with --set FIELD=VALUE.

    It is validated before it is sent. A masked secret that is left as it is keeps
    its value. The mended message has a new id, and names the failed one as its cause.

    FIELD may lead inwards with dots; FIELD:=JSON gives any value. Exit code 0 when
    all were sent back, 1 when some were not, 2 when nothing could be done.
    """
    env = environment(ctx)
    if options.words:
        edit_by_words(env, options, options.words)
    else:
        edit_in_editor(env, options)


@dataclass(frozen=True)
class Retrying(Chosen):
    """The options of a retry."""

    archived: Archived = False
    stages: Annotated[
        str | None, typer.Option(metavar="N,N,…", help="How many in each stage; the last again and again.")
    ] = None
    stop_on: Annotated[
        int, typer.Option(metavar="N", help="Stop when so many of a stage fail again.", min=1)
    ] = 1
    rate: Annotated[str | None, typer.Option(metavar="N/s", help="Most messages in a time: 50/s, 100/m.")] = (
        None
    )
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to wait for a stage's messages.", min=0)
    ] = 30.0
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would happen; send nothing.")] = False


@app.command(
    name="retry",
    epilog=_examples(
        f"retry {ONE}",
        "retry --group 1f2e3d4c --stages 1,5,20,100 --stop-on 1 --rate 50/s",
        "retry --type apply-payment --since 1h --dry-run",
    ),
)
@taking(Retrying)
def retry(ctx: typer.Context, options: Retrying) -> None:
    """Send failures back to the one group in which they failed; other listeners are not bothered again.

    With --stages in growing batches: after each its messages are followed until
    they have ended or failed again, and when they fail again it stops.

    Exit code 0 when all were sent back (with --stages: are done), 1 when some were
    not, 2 when nothing could be done.
    """
    env = environment(ctx)
    staging = Staging(options.stages, options.stop_on, options.rate, options.dry_run, options.patience)
    staging.check()
    wanted = options.selection(options.archived)
    ask(env, wanted, options.yes or options.dry_run, RETRY)
    telling = Telling(options.as_data)
    at_desk(env, options, RETRY, wanted, lambda desk, some: retry_all(desk, some, staging, telling))
    telling.end(RETRY)


@dataclass(frozen=True)
class Discarding(Chosen):
    """The options of a discard."""

    archived: Archived = False


@app.command(
    name="discard",
    epilog=_examples(f"discard {ONE}", "discard --group 1f2e3d4c --reason 'the shop is closed'"),
)
@taking(Discarding)
def discard(ctx: typer.Context, options: Discarding) -> None:
    """Give failures up for good: the flow that waits for one sees that its command has failed."""
    act(environment(ctx), options, DISCARD, archived=options.archived)


@app.command(name="archive", epilog=_examples(f"archive {ONE}", "archive --type apply-payment --since 1h"))
@taking(Chosen)
def archive(ctx: typer.Context, options: Chosen) -> None:
    """Put failures away, to be seen with --archived only; `restore` brings them back."""
    act(environment(ctx), options, ARCHIVE)


@app.command(name="restore", epilog=_examples(f"restore {ONE}", "restore --all"))
@taking(Chosen)
def restore(ctx: typer.Context, options: Chosen) -> None:
    """Bring failures that were put away back to the desk."""
    act(environment(ctx), options, RESTORE, archived=True)


@app.command(name="log", epilog=_examples("log", f"log {ONE}", "log --json -n 1000"))
def log(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="[ID]", help="Only one failure, or one message.")] = "",
    most: Annotated[int, typer.Option("--limit", "-n", help="How many.", min=1)] = 50,
    as_data: Json = False,
) -> None:
    """Show what people did at the desk, newest first: who, what, why, and what they changed."""

    async def work() -> list[LogLine]:
        async with environment(ctx).store() as (_, store):
            return await desk_log(store, id, most)

    found = run(work)
    if as_data:
        as_json([asdict(line) for line in found])
    else:
        table(LOG, log_rows(found), "nobody has done anything at the desk" + (f" with {id}" if id else ""))


def listed(ctx: typer.Context, options: Listed, empty: str) -> None:
    """List failures, as `hybrid desk list` and `hybrid failed list` do."""
    chosen = selection(
        options.group, options.type, options.component, options.since, options.where, options.archived
    )

    async def work() -> tuple[list[FailureView], int]:
        async with environment(ctx).store() as (app, store):
            found = await newest(store, app.topology, chosen, options.most)
            full = len(found) == options.most
            return found, await count(store, app.topology, chosen) if full else len(found)

    found, number = run(work)
    if options.as_data:
        as_json([_facts(view) for view in found])
        return
    table(FAILURES, failure_rows(found, _now()), empty if chosen == Selection() else NONE)
    if number > len(found):
        err(f"… and {number - len(found):,} older ones (--limit)")


def _facts(view: FailureView) -> dict[str, Any]:
    return {name: value for name, value in view.facts().items() if name != "traceback"}


def _now() -> int:
    return int(time.time() * 1000)
