"""`hybrid held`: what waits for the message before it of its key; release it, or give it up."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.asking import confirm
from cli.environment import environment, run
from cli.output import Column, as_json, clean, clock, compact, out, table
from cli.reading import BadInput
from hybrid.app import App
from hybrid.broker.shard import Store
from hybrid.inspect.held import HeldKey, HeldMessage, discard, held_keys, let_go, messages

EXAMPLES = (
    "Examples:\n\n`hybrid held list`\n\n`hybrid held show 2WE35HF6DHF`\n\n"
    "`hybrid held release 2WE35HF6DHF`\n\n`hybrid held discard 2WE35HF6DHF --reason 'account closed'`"
)
COLUMNS = [
    Column("key", keep=True),
    Column("component", keep=True),
    Column("channel"),
    Column("held", right=True),
    Column("behind", keep=True),
    Column("which is"),
]

app = typer.Typer(
    name="held", help="List, show, release and discard what is held to keep the order.", epilog=EXAMPLES
)
Key = Annotated[str, typer.Argument(metavar="KEY", help="The key, as in the list.")]
Component = Annotated[str, typer.Option(help="Only what a component holds.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def held_command(ctx: typer.Context) -> None:
    """List, show, release and discard what is held to keep the order."""
    if ctx.invoked_subcommand is None:
        list_held(ctx)


@app.command(name="list", epilog=EXAMPLES)
def list_held(ctx: typer.Context, component: Component = "", as_data: Json = False) -> None:
    """List the keys of which messages are held: how many, and behind which message."""
    env = environment(ctx)

    async def work() -> list[HeldKey]:
        async with env.store() as (app, store):
            return await held_keys(store, app.topology, component=component)

    found = sorted(run(work), key=lambda view: -view.waiting)
    if as_data:
        as_json([view.facts() for view in found])
        return
    rows = [(v.key, v.component, v.channel, v.waiting, v.behind, v.state) for v in found]
    table(COLUMNS, rows, "nothing is held" + (f" by {component}" if component else ""))


@app.command(name="show", epilog=EXAMPLES)
def show_held(ctx: typer.Context, key: Key, component: Component = "", as_data: Json = False) -> None:
    """Show what is held of a key, in the order in which it will run (secrets masked)."""

    async def work() -> list[tuple[HeldKey, list[HeldMessage]]]:
        async with environment(ctx).store() as (app, store):
            return [
                (view, await messages(app.topology, view))
                for view in await _named(app, store, key, component)
            ]

    found = run(work)
    if as_data:
        as_json([{**view.facts(), "messages": list(map(_facts, held))} for view, held in found])
        return
    for view, held in found:
        behind = f"behind {view.behind}, which is {view.state}"
        out(f"{clean(view.key)} of {view.component}: {view.waiting:,} held {clean(behind)}")
        for each in held:
            out(f"  {each.id}  {each.type}  sent {clock(each.sent)}  {compact(each.data)}")


@app.command(name="release", epilog=EXAMPLES)
def release_held(ctx: typer.Context, key: Key, component: Component = "") -> None:
    """Let a key go on although the message before is not done.

    The next one runs. The order is given up for the one before: when it comes back, it waits for its turn.

    Exit code 0 when it was released, 1 when somebody else had done it, 2 when nothing is held of this key.
    """

    async def work() -> list[tuple[HeldKey, bool]]:
        async with environment(ctx).store() as (app, store):
            return [(view, await let_go(view)) for view in await _named(app, store, key, component)]

    done = run(work)
    for view, released in done:
        said = f"released, {view.waiting:,} go on" if released else "had gone on already, nothing was changed"
        out(f"{clean(view.key)} of {view.component}: {said}")
    if not all(released for _, released in done):
        raise typer.Exit(1)


@app.command(name="discard", epilog=EXAMPLES)
def discard_held(
    ctx: typer.Context,
    key: Key,
    component: Component = "",
    reason: Annotated[str, typer.Option(help="Why; flows that wait for it are told.")] = "discarded by hand",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Give up everything that is held of a key, for good.

    It never runs. The message that it waits for is not touched.
    """
    env = environment(ctx)

    async def look() -> list[HeldKey]:
        async with env.store() as (app, store):
            return await _named(app, store, key, component)

    async def work() -> list[tuple[int, int]]:
        async with env.store() as (app, store):
            return [await discard(view, reason) for view in await _named(app, store, key, component)]

    if not yes:
        confirm(f"Give up {sum(view.waiting for view in run(look)):,} messages of {clean(key)} for good?")
    for done, gone in run(work):
        out(f"{clean(key)}: {done:,} discarded" + (f", {gone:,} had gone on already" if gone else ""))


async def _named(app: App, store: Store, key: str, component: str) -> list[HeldKey]:
    everything = await held_keys(store, app.topology, component=component)
    found = [view for view in everything if key in (view.key, clean(view.key))]
    if not found:
        raise BadInput(f"nothing is held of {clean(key)}: it never was, or has gone on (`hybrid held list`)")
    return found


def _facts(message: HeldMessage) -> dict[str, object]:
    return {name: getattr(message, name) for name in message.__dataclass_fields__}
