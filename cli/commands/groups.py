"""`hybrid groups`: who has read how far in the topics; replay to one group, or remove it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli import completion
from cli.asking import confirm
from cli.environment import environment, run
from cli.moments import stream_id
from cli.output import Column, as_json, clock, err, out, span, table
from hybrid.inspect.groups import GroupView, Removal, Reset, chosen, groups, remove, reset
from hybrid.messages import kebab
from hybrid.positions import BEGINNING, NOW

EXAMPLES = (
    "Examples:\n\n`hybrid groups list`\n\n`hybrid groups show loyalty`\n\n"
    "`hybrid groups reset loyalty --to beginning`\n\n"
    "`hybrid groups reset loyalty --topic payment-applied --to 2h-ago --yes`\n\n"
    "`hybrid groups remove loyalty`"
)
COLUMNS = [
    Column("topic", keep=True),
    Column("group", keep=True),
    Column("state"),
    Column("waiting", right=True),
    Column("pending", right=True),
    Column("oldest", right=True),
    Column("consumers", right=True),
    Column("position", keep=True),
    Column("known"),
]

app = typer.Typer(
    name="groups", help="List, show, replay to and remove the groups of topics.", epilog=EXAMPLES
)
Group = Annotated[
    str, typer.Argument(metavar="GROUP", help="The processor's name.", autocompletion=completion.groups)
]
Topic = Annotated[str, typer.Option(help="Only its group of this event type.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.callback(invoke_without_command=True)
def groups_command(ctx: typer.Context) -> None:
    """List, show, replay to and remove the groups of topics."""
    if ctx.invoked_subcommand is None:
        list_groups(ctx)


@app.command(name="list", epilog=EXAMPLES)
def list_groups(ctx: typer.Context, topic: Topic = "", as_data: Json = False) -> None:
    """List the groups of all topics: what waits for each, what is in work, and how far it has read."""
    env = environment(ctx)

    async def work() -> list[GroupView]:
        async with env.store() as (app, store):
            return await groups(store, app.topology)

    found = [view for view in run(work) if kebab(topic) in ("", view.topic)]
    if as_data:
        as_json(found)
    else:
        table(COLUMNS, _rows(found), "no groups yet: a processor that listens has one when it has started")


@app.command(name="show", epilog=EXAMPLES)
def show_group(ctx: typer.Context, group: Group, topic: Topic = "", as_data: Json = False) -> None:
    """Show where a group stands in each of its topics."""
    found = run(lambda: _chosen(ctx, group, topic))
    if as_data:
        as_json(found)
    else:
        out("\n\n".join(_picture(view) for view in found))


@app.command(name="reset", epilog=EXAMPLES)
def reset_group(
    ctx: typer.Context,
    group: Group,
    to: Annotated[
        str,
        typer.Option(
            help="beginning (all that is kept), now, a time, so long ago (2h-ago), or the first entry's id."
        ),
    ],
    topic: Topic = "",
    yes: Yes = False,
    as_data: Json = False,
) -> None:
    """Replay a topic to one group, or let it pass over what waits; no other is bothered.

    Workers may go on meanwhile. What is in work behind the place comes again,
    and the outcome that is under way does not count. Handlers see what comes
    again as context.replayed; what they return is broadcast again, and one that
    uses context.transaction() finds its inbox row and ends at once.
    """
    now = int(time.time() * 1000)
    start = to if to in (BEGINNING, NOW) else stream_id("--to", to.removesuffix("-ago"), now)

    async def work(really: bool) -> list[Reset]:
        async with environment(ctx).store() as (app, store):
            views = await chosen(store, app.topology, group, kebab(topic))
            return await reset(store, views, start, really=really)

    if not yes:
        for plan in run(lambda: work(False)):
            err(f"{_named(plan)}: {_moved(plan)}")
        confirm("Reset it?")
    done = run(lambda: work(True))
    if as_data:
        as_json(done)
    else:
        out("\n".join(f"{_named(each)}: {_moved(each)}; it goes on after {each.position}" for each in done))


@app.command(name="remove", epilog=EXAMPLES)
def remove_group(
    ctx: typer.Context,
    group: Group,
    topic: Topic = "",
    force: Annotated[
        bool, typer.Option("--force", help="Though a worker serves it, and with what else it has.")
    ] = False,
    yes: Yes = False,
    as_data: Json = False,
) -> None:
    """Remove a group that nobody needs: topics keep for it what it has not had.

    It goes with its marks and its part of the books; what it has not had is
    never handled by it. Refuses while a living consumer serves it.
    """

    async def work() -> list[Removal]:
        async with environment(ctx).store() as (app, store):
            views = await chosen(store, app.topology, group, kebab(topic))
            return await remove(store, app.topology, views, force=force)

    if not yes:
        for view in run(lambda: _chosen(ctx, group, topic)):
            err(f"{_named(view)}: {view.waiting:,} waiting, {view.pending:,} in work, never to be had")
        confirm("Remove it?")
    done = run(work)
    if as_data:
        as_json(done)
        return
    for each in done:
        besides = f", and {each.besides:,} failed or put off" if each.besides else ""
        out(f"{_named(each)}: removed, with {each.waiting:,} waiting and {each.pending:,} in work{besides}")


async def _chosen(ctx: typer.Context, group: str, topic: str) -> list[GroupView]:
    async with environment(ctx).store() as (app, store):
        return await chosen(store, app.topology, group, kebab(topic))


def _named(thing: GroupView | Reset | Removal) -> str:
    shard = f" (shard {thing.shard})" if thing.shard else ""
    return f"{thing.group} of {thing.topic}{shard}"


def _moved(reset: Reset) -> str:
    if reset.replayed:
        return f"{reset.replayed:,} deliveries come again"
    return f"{reset.skipped:,} deliveries are passed over" if reset.skipped else "nothing changes"


def _rows(views: Sequence[GroupView]) -> list[list[Any]]:
    now = int(time.time() * 1000)
    return [
        [
            view.topic if not view.shard else f"{view.topic} ({view.shard})",
            view.group,
            view.state,
            view.waiting,
            view.pending,
            span(max(now - view.oldest, 0)) if view.oldest else "",
            len(view.consumers),
            view.position,
            _known(view),
        ]
        for view in views
    ]


def _known(view: GroupView) -> str:
    if not view.registered:
        return "not registered"
    return "retired" if view.retired else "yes"


def _picture(view: GroupView) -> str:
    """Return a group as lines."""
    read = clock(int(view.position.partition("-")[0])) if view.position not in ("", "0-0") else ""
    facts = {
        "group": _named(view),
        "state": view.state,
        "waiting": f"{view.waiting:,}",
        "pending": f"{view.pending:,}",
        "oldest": clock(view.oldest),
        "position": f"{view.position} ({read})" if read else view.position,
        "history ends at": view.replayed_upto,
        "consumers": ", ".join(view.consumers) or "none lives",
        "known": _KNOWN[_known(view)],
    }
    return "\n".join(f"{name:<16} {value}" for name, value in facts.items() if value)


_KNOWN = {
    "yes": "the application listens to this topic under this name",
    "retired": "nobody in the application listens under this name; the topic keeps what it has not had",
    "not registered": "made by somebody else: retention does not wait for it, the ledger does not count it",
}
