"""`hybrid subscribe`: a subscriber in any language, as a command that events are fed to."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from cli import completion
from cli.commands.run import consume
from cli.environment import environment, run
from cli.feeding import Feeder, checked_command, first_word
from cli.moments import stream_id
from cli.options import taking
from cli.output import err, out
from hybrid import App, Event, Processor
from hybrid.errors import ApplicationError
from hybrid.messages import kebab
from hybrid.positions import BEGINNING, NOW

EXAMPLES = (
    "Examples:\n\n`hybrid subscribe payment-applied --exec 'jq -c .data >> payments.jsonl'`\n\n"
    "`hybrid subscribe payment-applied payment-denied --group audit --start now --exec ./audit.sh`\n\n"
    "`hybrid subscribe order-created --batch 100 --exec 'node index.js'`\n\n"
    "The command gets CloudEvents 1.0 on stdin, one JSON object a line; secrets are masked. Its environment"
    " has HYBRID_TYPE, HYBRID_ID and HYBRID_ATTEMPT (1 for the first), of a batch those of its first event."
)


@dataclass(frozen=True, slots=True)
class Subscribing:
    """What `hybrid subscribe` is given."""

    types: Annotated[
        list[str],
        typer.Argument(metavar="TYPE...", help="Events, by their names.", autocompletion=completion.events),
    ]
    command: Annotated[str, typer.Option("--exec", metavar="CMD", help="The command, for /bin/sh.")]
    group: Annotated[str, typer.Option(help="The group's name; without, one made of CMD and the types.")] = ""
    start: Annotated[
        str,
        typer.Option(
            metavar="beginning|now|TIME|DURATION|ID",
            help="Where a new group begins: at what the topic still keeps, now, or since then.",
        ),
    ] = BEGINNING
    batch: Annotated[int, typer.Option(metavar="N", help="Most events for one process.", min=1)] = 1
    processes: Annotated[
        int, typer.Option("--processes", "-p", help="Most processes of CMD at the same time.", min=1, max=256)
    ] = 1


@taking(Subscribing)
def command(ctx: typer.Context, subscribing: Subscribing) -> None:
    """Feed events to a command: a subscriber without Python.

    One process for each event, or with --batch for up to N that are there together. Exit code 0 acknowledges;
    after others it is tried again, three times in all, and then is a failure, with the end of the command's
    stderr (`hybrid failed show`). The group keeps its place while nobody runs it.
    SIGTERM and Ctrl-C let running processes end.
    """
    env = environment(ctx)
    app = env.application()
    events = _events(app, subscribing.types)
    line = checked_command(subscribing.command)
    group = subscribing.group or group_name(line, [event.type_name for event in events])
    if group in app.topology.names:
        raise ApplicationError(
            f"--group {group}: a component of {app.name} is called so, and handles these events its own way;"
            " choose another name"
        )
    out(f"group: {group}")

    async def work() -> int:
        async with Feeder(line, app.name, subscribing.batch, subscribing.processes) as feeder:
            processor = _processor(group, events, feeder, subscribing)
            # without the application's resources: the command needs none of them
            whole = App(app.name, [*app.components, processor], messages=app.messages, settings=app.settings)
            return await consume(whole, [group])

    raise typer.Exit(run(work))


def group_name(command: str, types: Sequence[str]) -> str:
    """Return a name for the group of a command and the types it takes: the same each time, and another one
    for other types, since what comes back after a retry must be of a type that it takes.
    """
    word = re.sub("[^a-z0-9]+", "-", Path(first_word(command)).name.lower()).strip("-")[:40]
    digest = sha256("\0".join([command, *sorted(types)]).encode(errors="surrogateescape")).hexdigest()[:8]
    return "-".join(part for part in ("exec", word, digest) if part)


def start_of(text: str, now: int) -> str:
    """Return where a group starts: beginning, now, or the id of an entry. `now` is in ms. Raises
    SettingsError.
    """
    return text if text in (BEGINNING, NOW) else stream_id("--start", text, now)


def _processor(group: str, events: list[type[Event]], feeder: Feeder, subscribing: Subscribing) -> Processor:
    """Return the processor that feeds these events to the command."""
    processor = Processor(group)
    start = start_of(subscribing.start, int(time.time() * 1000))
    for event in events:
        concurrency = subscribing.batch * subscribing.processes
        processor.on(event, concurrency=concurrency, start=start)(feeder.feed)
    return processor


def _events(app: App, types: Sequence[str]) -> list[type[Event]]:
    """Return the events of these names. Raises UnknownMessage, and ApplicationError for a command."""
    found: dict[type[Event], None] = {}
    for name in types:
        cls = app.topology.catalog.named(kebab(name))
        if not issubclass(cls, Event):
            handler = app.topology.handler_of(cls)
            who = f" ({handler.component})" if handler else ""
            raise ApplicationError(
                f"{cls.type_name} is a command, which goes to the one processor that handles it{who};"
                " subscribers take events: `hybrid topology` shows which there are"
            )
        if cls in app.topology.initiating():
            front = app.topology.front_of(cls).name
            err(f"note: {cls.type_name} is an initiating event: it goes to {front}, and is broadcast only if"
                " somebody publishes it")  # fmt: skip
        found[cls] = None
    return list(found)
