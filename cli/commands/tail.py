"""`hybrid tail`: what happened, and what happens now."""

from __future__ import annotations

import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

import typer

from cli import completion
from cli.environment import environment, run
from cli.moments import stream_id
from cli.options import taking
from cli.output import BROKEN_PIPE, err
from cli.telling import NAMES, Teller, telling, unread
from hybrid.broker.shard import Store
from hybrid.errors import SettingsError
from hybrid.inspect.tail import Period, Tail, Wanted
from hybrid.mediator.classes import EventClass
from hybrid.messages import kebab

MOST = 50
"""How many happenings are shown when nothing says since when."""
EXAMPLES = (
    "Examples:\n\n`hybrid tail`\n\n`hybrid tail -f`\n\n`hybrid tail -f order-created payment-applied`\n\n"
    "`hybrid tail --failed --since 1h`\n\n`hybrid tail --flow 7b1c0a64f0d94d2c8f11aa02 --since 1d`\n\n"
    "`hybrid tail --class complex --since 09:00 --until 10:00 -n 20`\n\n"
    "`hybrid tail -f -o json | jq -r 'select(.data) | .type'`\n\n"
    "`hybrid tail -o '{time} {what} {type} {key}'`\n\n"
    f"Names in a format: {', '.join(NAMES)}."
)


@dataclass(frozen=True, slots=True)
class Tailing:
    """What `hybrid tail` is given."""

    types: Annotated[
        list[str] | None,
        typer.Argument(metavar="TYPE", help="Only messages of these types.", autocompletion=completion.types),
    ] = None
    key: Annotated[str, typer.Option(help="Only what has this key, or is of a flow that has.")] = ""
    flow: Annotated[str, typer.Option(metavar="ID", help="Only what is of this flow, or this message.")] = ""
    event_class: Annotated[
        str, typer.Option("--class", help="Only what comes from simple, hard or complex events.")
    ] = ""
    failed: Annotated[bool, typer.Option("--failed", help="Only deliveries that failed for good.")] = False
    grep: Annotated[str, typer.Option(metavar="REGEX", help="Only what this is found in.")] = ""
    since: Annotated[
        str,
        typer.Option(
            metavar="WHEN", help="From when: 10m (ago), 14:05, 2026-01-31T14:05Z, or an entry's id."
        ),
    ] = ""
    until: Annotated[str, typer.Option(metavar="WHEN", help="Until when; the same forms.")] = ""
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")] = (
        False
    )
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="HOW", help="table, json (CloudEvents), or a '{format}'."),
    ] = "table"
    most: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", help=f"Only the last so many.  \\[default: {MOST}; all with --since]", min=0
        ),
    ] = None

    def wanted(self) -> Wanted:
        """Return what to tell. Raises SettingsError."""
        classes = [each.value for each in EventClass]
        if self.event_class and self.event_class not in classes:
            raise SettingsError(f"--class {self.event_class!r}: is one of {', '.join(classes)}")
        try:
            text = re.compile(self.grep) if self.grep else None
        except re.error as error:
            raise SettingsError(f"--grep {self.grep!r}: is no regular expression: {error}") from None
        types = frozenset(kebab(type) for type in self.types or ())
        return Wanted(types, self.key, self.flow, self.event_class, self.failed, text)

    def period(self, now: int) -> Period:
        """Return from when to when, `now` being in ms. Raises SettingsError."""
        first = stream_id("--since", self.since, now) if self.since else ""
        return Period(first, stream_id("--until", self.until, now) if self.until else "")


@taking(Tailing)
def command(ctx: typer.Context, tailing: Tailing) -> None:
    """Show what happened, oldest first, and with --follow what happens now.

    Broadcasts come with their data. Commands and initiating events are told as
    their deliveries, one line for each attempt (done, retried, failed,
    classified …), from the settle log: their data is gone once they are
    settled. Secrets are masked. It only reads, and creates no group.

    With -o json each line is a CloudEvent 1.0: a broadcast as itself, a
    delivery as hybrid.delivery.done and so on, with the message's id in
    messageid. A terminal of less than 120 columns shows no flows.
    """
    if tailing.follow and tailing.until:
        raise SettingsError("--until ends what --follow goes on with: leave one of them out")
    env = environment(ctx)
    wanted = tailing.wanted()
    tell = telling(tailing.output, env.application().name)

    async def work() -> int:
        try:
            async with env.store() as (app, store):
                return await _tail(tailing, store, Tail(store, app.topology, wanted), tell)
        except SystemExit as ended:  # nobody reads it any more; an event loop must not see that
            return int(ended.code or 0)

    raise typer.Exit(run(work))


async def _tail(tailing: Tailing, store: Store, tail: Tail, tell: Teller) -> int:
    """Tell history, then what happens now; return the exit code."""
    await tail.begin()
    period = tailing.period(await store.shards[0].queries.now())
    most = tailing.most if tailing.most is not None or tailing.since else MOST
    told = 0
    if most is None:
        async with aclosing(tail.history(period)) as history:
            async for some in history:
                tell(some)
                told += len(some)
    elif most:
        some = await tail.newest(most, period)
        tell(some)
        told = len(some)
    if tailing.follow:
        async with aclosing(tail.live()) as live:
            async for some in live:
                tell(some)
                if unread():
                    return BROKEN_PIPE
    elif not told and most != 0:
        err(
            "nothing has happened"
            + (" yet" if tailing.wanted() == Wanted() and not any(period) else " of this kind")
        )
    return 0
