"""`hybrid publish`: broadcasts an event past the mediators: what subscribers, and flows that wait, hear."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import typer

from cli import completion
from cli.commands.send import read
from cli.environment import environment, run
from cli.moments import moment_of, span_of
from cli.options import Json, taking
from cli.output import as_json, out
from cli.reading import BadInput
from hybrid import Receipt

EXAMPLES = (
    "Examples:\n\n`hybrid publish stock-replenished --data '{\"arrived\": []}'`\n\n"
    "`hybrid publish invoice-settled order_id=B-1 …` (a flow waits for it: `hybrid flows show` tells)"
)


@dataclass(frozen=True)
class Publishing:
    """What `hybrid publish` is given."""

    type: Annotated[
        str, typer.Argument(metavar="TYPE", help="The event's name.", autocompletion=completion.events)
    ]
    words: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Its fields.")] = None
    data: Annotated[str | None, typer.Option(help="Its fields, as a JSON object.")] = None
    id: Annotated[str | None, typer.Option(help="The event's id: one sent before is not again.")] = None
    after: Annotated[str | None, typer.Option("--in", metavar="SPAN", help="Later: 30s, 10m, 2d.")] = None
    at: Annotated[str | None, typer.Option(metavar="TIME", help="At 2026-12-01T08:00Z, or 08:00.")] = None
    as_data: Json = False


@taking(Publishing)
def command(ctx: typer.Context, given: Publishing) -> None:
    """Broadcast an event, as its processor would: who listens hears it, and flows that wait for it.

    Events that come in from outside are sent: `hybrid send`. It is checked before, and stored when this
    returns.
    """
    if given.words and given.data is not None:
        raise BadInput("give the fields as words or as --data, not both")
    env, now = environment(ctx), int(time.time() * 1000)
    event = read(env, given.type, given.words or [], given.data, any=True)
    at = moment_of("--at", given.at, now) if given.at is not None else None
    after = span_of("--in", given.after) if given.after is not None else None

    async def work() -> Receipt:
        async with env.application().client() as client:
            return await client.publish(event, id=given.id, at=at, after=after)

    receipt = run(work)
    if given.as_data:
        as_json({"id": receipt.id, "duplicate": receipt.duplicate})
    else:
        out(f"{receipt.id}{'  (published before)' if receipt.duplicate else ''}")
