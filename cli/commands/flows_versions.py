"""`hybrid flows versions`: how many unfinished flows run on which version of which mediator's flow."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.environment import environment, run
from cli.output import Column, as_json, table
from hybrid.inspect.versions import VersionView, versions

COLUMNS = [
    Column("mediator"),
    Column("event"),
    Column("version", right=True),
    Column("flows", right=True),
    Column(""),
]
EXAMPLES = "Examples:\n\n`hybrid flows versions`\n\n`hybrid --app shop flows versions --json`"


def command(
    ctx: typer.Context,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how many unfinished flows run on which version of their mediator's flow, and whether the
    application has it.

    A worker does not start without a version that flows of its mediators run on.
    """
    env = environment(ctx)

    async def work() -> list[VersionView]:
        async with env.store() as (app, store):
            return await versions(store, app.topology)

    found = run(work)
    if as_data:
        as_json(found)
        return
    rows = [[row.mediator, row.type, row.version or "none", row.flows, said(row)] for row in found]
    table(COLUMNS, rows, "no mediator has flows, and no flow runs")


def said(row: VersionView) -> str:
    """Return what is to be said of a version."""
    if row.newest:
        return "newest"
    if row.known:
        return "older" if row.flows else "older: nothing runs on it, it can go"
    return (
        "missing: this application has not got it"
        if row.version
        else "not begun: paused, or their events could not be taken"
    )
