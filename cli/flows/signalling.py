"""`hybrid flows signal`: what flows wait for from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cli.environment import environment
from cli.flows.acting import Deed, act
from cli.flows.choosing import ONE, Chosen, examples
from cli.options import taking, user
from cli.reading import BadInput, parsed
from hybrid import App, Client
from hybrid.broker.shard import Store
from hybrid.errors import FlowEnded, UnknownFlow
from hybrid.inspect.actions import REFUSED
from hybrid.inspect.steering import Steered
from hybrid.mediator.signals import checked_signal, packed_data

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class Signalling(Chosen):
    """What `hybrid flows signal` is given."""

    name: Annotated[str, typer.Argument(metavar="NAME", help="What the flows call the signal.")]
    data: Annotated[str | None, typer.Option(help="What it carries, as a JSON object.")] = None
    signal_id: Annotated[
        str | None, typer.Option("--id", help="The signal's id: a flow that has had it takes it no more.")
    ] = None


@app.command(
    name="signal",
    epilog=examples(
        f"""signal {ONE} approve --data '{{"by": "ann"}}'""",
        "signal go-on --type place-order --step go-on --older-than 2d --yes",
    ),
)
@taking(Signalling)
def signal_flows(ctx: typer.Context, options: Signalling) -> None:
    """Give flows a signal: what one waits for with `flow.signal(NAME)`, now or later.

    It is stored when this returns, with who gave it and when. A flow that has ended
    takes none. Exit code 1 when one was refused.
    """
    env = environment(ctx)
    given = _object(options.data) if options.data is not None else None
    packed_data(checked_signal(options.name), given, env.settings.max_message_bytes)

    @asynccontextmanager
    async def opening(app: App, store: Store) -> AsyncIterator[Deed]:
        async def give(flow: str) -> Steered:
            try:
                if options.dry_run:
                    _, record = await client.record(flow)
                    if record.ended:
                        raise FlowEnded(flow, record.state)
                    return Steered(flow, "would be signalled")
                receipt = await client.signal(
                    flow, options.name, given, id=options.signal_id, by=options.who or user()
                )
            except (UnknownFlow, FlowEnded) as error:
                return Steered(flow, REFUSED, str(error))
            return Steered(flow, "already signalled" if receipt.duplicate else "signalled")

        async with Client(app, store) as client:
            yield give

    act(env, options, "signal", opening)


def _object(data: str) -> dict[str, Any]:
    """Return a JSON object. Raises BadInput."""
    try:
        given = parsed(data)
    except BadInput as error:
        raise BadInput(f"--data: {error}") from None
    if not isinstance(given, dict):
        raise BadInput(f"--data: is a JSON object, no {type(given).__name__}")
    return given
