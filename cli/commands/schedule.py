"""`hybrid schedule`: events that are sent at each tick of a clock, and what waits to be sent later."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from cli import completion
from cli.commands.send import read
from cli.environment import environment, run
from cli.options import taking
from cli.output import Column, as_json, clock, compact, out, span, table
from cli.reading import BadInput
from hybrid.broker.recurring import ONCE, Plan, Recurring
from hybrid.inspect import scheduled, schedules
from hybrid.inspect.scheduled import ScheduledMessage
from hybrid.inspect.shown import visible
from hybrid.topology import Topology

EXAMPLES = (
    "Examples:\n\n"
    "`hybrid schedule add morning --cron '0 8 * * MON-FRI' --timezone Europe/Prague address-changed …`\n\n"
    "`hybrid schedule add pulse --cron '*/10 * * * *' --missed skip address-changed …`\n\n"
    "`hybrid schedule`\n\n`hybrid schedule run morning`\n\n`hybrid schedule remove morning`\n\n"
    "`hybrid schedule cancel 71dca0f37c9f1d43c6a5ed7b` (what `hybrid send --in 10m …` printed)"
)
COLUMNS = [
    Column("name or id", keep=True),
    Column("sends", keep=True),
    Column("next", keep=True),
    Column("in", right=True),
    Column("cron", keep=True),
    Column("time zone"),
    Column("missed"),
    Column("data"),
]

app = typer.Typer(
    name="schedule", help="Send events at each tick, and see what is sent later.", epilog=EXAMPLES
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, slots=True)
class Adding:
    """What `hybrid schedule add` is given."""

    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for the schedule.")]
    type: Annotated[
        str,
        typer.Argument(metavar="TYPE", help="The event's name.", autocompletion=completion.initiating),
    ]
    cron: Annotated[str, typer.Option(help="When: five fields as cron has them, or six with seconds first.")]
    words: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Its fields.")] = None
    data: Annotated[str | None, typer.Option(help="Its fields, as a JSON object.")] = None
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="In which time zone: Europe/Prague.")] = "UTC"
    missed: Annotated[
        str,
        typer.Option(
            metavar="once|all|skip", help="For ticks at which no worker ran: one event, one for each, none."
        ),
    ] = ONCE
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of the one of this name.")
    ] = False
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False


@app.callback(invoke_without_command=True)
def schedule_command(ctx: typer.Context) -> None:
    """Send events at each tick, and see what is sent later."""
    if ctx.invoked_subcommand is None:
        list_schedules(ctx)


@app.command(name="add", epilog=EXAMPLES)
@taking(Adding)
def add_schedule(ctx: typer.Context, adding: Adding) -> None:
    """Send an initiating event at each tick: once per tick, however many workers run.

    The event is checked now. Its id is NAME:TICK, as morning:20261201T080000Z.
    """
    env = environment(ctx)
    if adding.words and adding.data is not None:
        raise BadInput("give the fields as words or as --data, not both")
    event = read(env, adding.type, adding.words or [], adding.data)
    plan = Plan(adding.cron, adding.timezone, adding.missed)

    async def work() -> tuple[Recurring, int]:
        async with env.application().store() as store:
            await store.open()
            topology, replace = env.application().topology, adding.replace
            added = await schedules.add(store, topology, adding.name, event, plan, replace=replace)
            return added, await store.shards[0].queries.now()

    added, now = run(work)
    if adding.as_data:
        as_json(_facts(env.application().topology, added))
    else:
        out(f"{added.name}: {added.type} next at {clock(added.tick)}, in {span(added.tick - now)}")


@app.command(name="list", epilog=EXAMPLES)
def list_schedules(ctx: typer.Context, as_data: Json = False) -> None:
    """List the schedules with their next ticks, and the messages that are sent later (secrets masked)."""

    async def work() -> tuple[list[dict[str, Any]], list[ScheduledMessage], int]:
        async with environment(ctx).store() as (app, store):
            recurring = [_facts(app.topology, each) for each in await schedules.schedules(store)]
            later = await scheduled.scheduled_messages(store, app.topology)
            return recurring, later, await store.shards[0].queries.now()

    recurring, later, now = run(work)
    if as_data:
        as_json({"schedules": recurring, "messages": later})
        return
    how = ("cron", "zone", "missed")
    rows = [
        (each["name"], each["type"], *_when(each["next"], now), *map(each.get, how), compact(each["data"]))
        for each in recurring
    ]
    rows += [(each.id, each.type, *_when(each.due, now), "", "", "", compact(each.data)) for each in later]
    table(COLUMNS, rows, "nothing is scheduled: `hybrid schedule add …`, or `hybrid send --in 10m …`")


@app.command(name="remove", epilog=EXAMPLES)
def remove_schedule(ctx: typer.Context, name: Name) -> None:
    """Remove a schedule: it ticks no more. What it has sent goes on."""

    async def work() -> bool:
        async with environment(ctx).store() as (_, store):
            return await schedules.remove(store, name)

    if not run(work):
        raise BadInput(f"no schedule is called {name} (`hybrid schedule list`)")
    out(f"{name}: removed")


@app.command(name="run", epilog=EXAMPLES)
def run_schedule(ctx: typer.Context, name: Name) -> None:
    """Send a schedule's event now, besides its ticks. Prints the event's id."""

    async def work() -> str:
        async with environment(ctx).store() as (_, store):
            return await schedules.run_now(store, name)

    out(run(work))


@app.command(name="cancel", epilog=EXAMPLES)
def cancel_message(
    ctx: typer.Context, id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")]
) -> None:
    """Cancel an event that is sent later: it never is. Its id counts as used, as of any event sent."""

    async def work() -> bool:
        async with environment(ctx).store() as (_, store):
            return await scheduled.cancel(store, id)

    if not run(work):
        raise BadInput(f"nothing waits to be sent as {id}: it never did, or it was sent, or cancelled before")
    out(f"{id}: cancelled")


def _facts(topology: Topology, schedule: Recurring) -> dict[str, Any]:
    data = visible(topology.catalog, schedule.type, schedule.data, schedule.version)
    names = {"name": schedule.name, "type": schedule.type, "channel": schedule.channel}
    return {**names, "next": schedule.tick, **asdict(schedule.plan), "data": data}


def _when(due: int, now: int) -> tuple[str, str]:
    return clock(due), span(max(due - now, 0))
