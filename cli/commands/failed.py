"""`hybrid failed`: what no retry could cure; look at it, and send it back. `hybrid desk` does more."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.desk import Listed, listed
from cli.desk.acting import Staging, Telling, at_desk, retry_all
from cli.desk.choosing import Chosen, Component, Id, Ids, Type, there
from cli.desk.pictures import whole
from cli.environment import environment, run
from cli.options import Json
from cli.output import as_json, show
from cli.reading import BadInput
from hybrid.inspect.actions import RETRY
from hybrid.inspect.failures import FailureView

EXAMPLES = (
    "Examples:\n\n`hybrid failed list`\n\n`hybrid failed show payment/1700000000000-0`\n\n"
    "`hybrid failed retry payment/1700000000000-0`\n\n`hybrid failed retry --type apply-payment`\n\n"
    "An ID is the one of the list, or the id of the message or of its flow. `hybrid desk` groups, mends and"
    " puts away too."
)

app = typer.Typer(name="failed", help="List, show and send back what has failed.", epilog=EXAMPLES)


@app.callback(invoke_without_command=True)
def failed(ctx: typer.Context) -> None:
    """List, show and send back what has failed."""
    if ctx.invoked_subcommand is None:
        list_failed(ctx)


@app.command(name="list", epilog=EXAMPLES)
def list_failed(
    ctx: typer.Context,
    type: Type = "",
    component: Component = "",
    most: Annotated[int, typer.Option("--limit", "-n", help="How many.", min=1)] = 50,
    as_data: Json = False,
) -> None:
    """List what has failed for good, newest first: which message, where, and why."""
    listed(ctx, Listed(type=type, component=component, most=most, as_data=as_data), "nothing has failed")


@app.command(name="show", epilog=EXAMPLES)
def show_failed(ctx: typer.Context, id: Id, as_data: Json = False) -> None:
    """Show a failed delivery whole: the message (secrets masked), the error, the traceback."""

    async def work() -> list[FailureView]:
        async with environment(ctx).store() as (app, store):
            return await there(store, app.topology, id)

    found = run(work)
    if as_data:
        as_json([view.facts() for view in found])
    else:
        show(*map(whole, found))


@app.command(name="retry", epilog=EXAMPLES)
def retry_failed(
    ctx: typer.Context,
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="Send everything back.")] = False,
    type: Annotated[str, typer.Option(help="Send all messages of a type back.")] = "",
    as_data: Json = False,
) -> None:
    """Send failed deliveries back to the one group in which they failed; other listeners are not bothered
    again.

    Exit code 0 when all were sent back, 1 when some were already handled or refused, 2 when there is no such
    failure.
    """
    if bool(ids) + everything + bool(type) != 1:
        raise BadInput("say which: hybrid failed retry ID …, or --type TYPE, or --all")
    chosen, telling = Chosen(ids=ids, everything=everything, type=type), Telling(as_data)
    wanted = chosen.selection()
    at_desk(
        environment(ctx), chosen, RETRY, wanted, lambda desk, some: retry_all(desk, some, Staging(), telling)
    )
    telling.end(RETRY)
