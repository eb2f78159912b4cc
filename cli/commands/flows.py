"""`hybrid flows`: the list of flows, the timeline of one, and what an operator does with them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cli.commands import flows_check, flows_export, flows_versions
from cli.environment import environment, run
from cli.flows import signalling, verbs
from cli.flows.choosing import Filters, Id
from cli.flows.timeline import lines, timeline
from cli.options import Json, taking
from cli.output import Column, as_json, is_terminal, out, show, span, table
from cli.reading import BadInput
from hybrid.inspect.flows import FlowSummary, FlowView, flow, summaries

COLUMNS = [
    Column("flow", keep=True),
    Column("state"),
    Column("event"),
    Column("class"),
    Column("mediator"),
    Column("step", right=True),
    Column("age", right=True),
    Column("took", right=True),
    Column("waits for, or why not"),
]
EXAMPLES = (
    "Examples:\n\n`hybrid flows list`\n\n`hybrid flows list --state failed --json`\n\n"
    "`hybrid flows list --type place-order --step apply-payment --older-than 1h --where currency=EUR`\n\n"
    "`hybrid flows show 7b1c0a64f0d94d2c8f11aa02`\n\n"
    """`hybrid flows signal 7b1c0a64f0d94d2c8f11aa02 approve --data '{"by": "ann"}'`"""
)

app = typer.Typer(
    name="flows",
    help="List flows, show one step by step, and steer them.",
    epilog=EXAMPLES,
    no_args_is_help=False,
)
app.command("check", epilog=flows_check.EXAMPLES)(flows_check.command)
app.command("export", epilog=flows_export.EXAMPLES)(flows_export.command)
app.command("versions", epilog=flows_versions.EXAMPLES)(flows_versions.command)
app.add_typer(signalling.app)
app.add_typer(verbs.app)


@dataclass(frozen=True, kw_only=True)
class Listed(Filters):
    """The options of a list."""

    most: Annotated[int, typer.Option("--limit", "-n", help="How many.", min=1)] = 20
    as_data: Json = False


@app.callback(invoke_without_command=True)
@taking(Listed)
def flows(ctx: typer.Context, options: Listed) -> None:
    """List flows, show one step by step, and steer them."""
    if ctx.invoked_subcommand is None:
        listed(ctx, options)
    elif options != Listed():
        raise BadInput(f"options go behind `{ctx.invoked_subcommand}`, not before it: they were not heeded")


@app.command(name="list", epilog=EXAMPLES)
@taking(Listed)
def list_flows(ctx: typer.Context, options: Listed) -> None:
    """List flows: the unfinished ones first, then those that ended, newest first.

    The options are a query, which each of the verbs takes, too: `hybrid flows cancel
    --type place-order --older-than 2d`.
    """
    listed(ctx, options)


def listed(ctx: typer.Context, options: Listed) -> None:
    """List flows."""
    env = environment(ctx)
    query = options.query(env.application().topology, ended=True)

    async def work() -> list[FlowSummary]:
        async with env.store() as (app, store):
            return await summaries(store, app.topology, query, options.most)

    found = run(work)
    if options.as_data:
        as_json(found)
        return
    empty = "no flows" + (
        " of this kind" if options.selects else " yet: `hybrid send TYPE key=value …` starts one"
    )
    table(COLUMNS, [_row(each) for each in found], empty)


@app.command(name="show", epilog=EXAMPLES)
def show_flow(
    ctx: typer.Context,
    id: Id,
    run_number: Annotated[
        int, typer.Option("--run", help="An earlier run; otherwise the newest.", min=0)
    ] = 0,
    as_data: Json = False,
) -> None:
    """Show the timeline of a flow: each step sent, acknowledged, by whom, at which attempt; what people did
    with it; and who listened.
    """
    env = environment(ctx)

    async def work() -> FlowView:
        async with env.store() as (app, store):
            return await flow(store, app.topology, id, run_number)

    found = run(work)
    if as_data:
        as_json(found)
    elif is_terminal():
        show(timeline(found))
    else:
        out("\n".join(str(line) for line in lines(found)))


def _row(flow: FlowSummary) -> list[Any]:
    age = span(max(int(time.time() * 1000) - flow.started, 0))
    took = span(max(flow.ended - flow.started, 0)) if flow.ended else ""
    waits = flow.problem or ", ".join(flow.waiting_for)
    return [
        flow.id, flow.state, flow.type, flow.event_class, flow.mediator, flow.step or "", age, took, waits
    ]  # fmt: skip
