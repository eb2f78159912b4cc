"""`hybrid trace`: all that an initiating event led to, as a waterfall."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from cli import completion
from cli.console.waterfall import Waterfall, plain
from cli.environment import environment, run
from cli.output import as_json, is_terminal, out, show
from hybrid.inspect.trace import Trace, Traced, trace

EXAMPLES = (
    "Examples:\n\n`hybrid trace 7b1c0a64f0d94d2c8f11aa02`\n\n"
    "`hybrid trace 7b1c0a64f0d94d2c8f11aa02/1/3 --only`\n\n"
    "`hybrid trace 7b1c0a64f0d94d2c8f11aa02 --json`"
)


def command(
    ctx: typer.Context,
    id: Annotated[
        str,
        typer.Argument(
            help="Of a flow, an event, a command (FLOW/RUN/STEP) or a broadcast.",
            autocompletion=completion.flows,
        ),
    ],
    only: Annotated[
        bool, typer.Option("--only", help="Only what led to this message, and what it led to.")
    ] = False,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show all that an initiating event led to: who did what, when, at which attempt, and what that led to.

    Takes the id of any message, and goes up to its initiating event; the message is marked with `>`. What the
    settle log and the topics keep no longer can't be shown; then the last line says so.
    """
    env = environment(ctx)

    async def work() -> Trace:
        async with env.store() as (app, store):
            return await trace(store, app.topology, id)

    found = run(work)
    found = narrowed(found) if only else found
    if as_data:
        as_json(found)
    elif is_terminal():
        show(Waterfall(found))
    else:
        out(plain(found))


def narrowed(found: Trace) -> Trace:
    """Return a trace with only what leads to the message that was asked for, and what that led to."""
    return replace(found, root=_way(found.root, found.id) or found.root)


def _way(message: Traced, id: str) -> Traced | None:
    if message.id == id:
        return message
    for handling in message.handlings:
        for sent in handling.sent:
            if way := _way(sent, id):
                return replace(message, handlings=(replace(handling, sent=(way,)),))
    return None
