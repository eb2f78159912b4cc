"""`hybrid send`: sends initiating events, one from words or many from lines. Checked before, stored after."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from cli import completion
from cli.bulk import Bulk
from cli.environment import Environment, environment, run
from cli.moments import moment_of, span_of
from cli.options import taking
from cli.output import as_json, clean, compact, fail, out
from cli.reading import BadInput, Reader, parsed
from hybrid.client import Outcome, Receipt
from hybrid.codec import shown
from hybrid.errors import WaitTimeout
from hybrid.mediator.record import COMPLETED, REFUSED
from hybrid.messages import Event

EXAMPLES = (
    "Examples:\n\n"
    "`hybrid send address-changed customer_id=c-1042 'address=12 Rose Lane, 20095 Hamburg, DE'`\n\n"
    '`hybrid send place-order --data "$(cat order.json)" --wait`\n\n'
    "`hybrid send address-changed … --in 10m`, or `--at 2026-12-01T08:00Z` (`hybrid schedule` shows it)\n\n"
    "`hybrid send --file orders.jsonl --wait --timeout 60`\n\n"
    "`hybrid send address-changed --file addresses.csv`\n\n"
    "`jq -c '{type: \"place-order\", data: .}' orders.json | hybrid send -`\n\n"
    "Values: `total=12.50` is read as the field's type, `lines.0.isbn=…` goes into lists and objects, "
    '`tags:=\'["a"]\'` is JSON as it stands. A line of a file is {"type": …, "data": {…}, "id"?: …}; with '
    "TYPE it is the event's data, as CSV (with or without a line of field names) or as a JSON object."
)
EXIT = {COMPLETED: 0, REFUSED: 1}
"""The exit code of an outcome; 2 for the others."""


class Due(NamedTuple):
    """When an event is sent: at a time, after a while, or (None, None) now."""

    at: datetime | None
    after: timedelta | None


@dataclass(frozen=True, slots=True)
class Sending:
    """What `hybrid send` is given."""

    type: Annotated[
        str | None,
        typer.Argument(
            metavar="TYPE",
            help="The event's name, or - for lines on stdin.",
            autocompletion=completion.initiating,
        ),
    ] = None
    words: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Its fields.")] = None
    data: Annotated[str | None, typer.Option(help="Its fields, as a JSON object.")] = None
    file: Annotated[Path | None, typer.Option(help="Send the lines of a file.")] = None
    id: Annotated[str | None, typer.Option(help="The event's id: one sent before starts nothing.")] = None
    after: Annotated[
        str | None, typer.Option("--in", metavar="SPAN", help="Send it later: 30s, 10m, 1h30m, 2d.")
    ] = None
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Send it at 2026-12-01T08:00Z, or 08:00 (local)."),
    ] = None
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, and print the outcome.")] = False
    timeout: Annotated[float, typer.Option(help="How long to wait, in seconds.", min=0)] = 30.0
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON (of many events one line each).")] = (
        False
    )

    @property
    def due(self) -> Due:
        """When it is sent, if not now. Raises SettingsError."""
        now = int(time.time() * 1000)
        return Due(
            moment_of("--at", self.at, now) if self.at is not None else None,
            span_of("--in", self.after) if self.after is not None else None,
        )

    @property
    def bulk(self) -> bool:
        """Whether it sends lines. Raises BadInput for what does not go together."""
        if self.file is not None or self.type == "-":
            if self.after or self.at:
                raise BadInput("lines are sent now: leave --in and --at out")
            if self.words or self.data is not None or self.id or (self.file is not None and self.type == "-"):
                raise BadInput("lines bring their own data and id: leave fields, --data and --id out")
            return True
        if not self.type:
            raise BadInput("say which event: hybrid send TYPE key=value …, or --file F.jsonl, or - for stdin")
        if self.words and self.data is not None:
            raise BadInput("give the fields as words or as --data, not both")
        return False


@taking(Sending)
def command(ctx: typer.Context, sending: Sending) -> None:
    """Send initiating events, one or many.

    They are checked before they are sent, and stored when it returns. Prints their ids.
    Exit code 0 stored (with --wait: completed), 1 refused, 2 an error or a timeout.
    """
    env = environment(ctx)
    if sending.bulk:
        raise typer.Exit(_bulk(env, sending).run())
    event = read(env, sending.type or "", sending.words or [], sending.data)
    raise typer.Exit(run(lambda: _send(env, event, sending, sending.due)))


def _bulk(env: Environment, sending: Sending) -> Bulk:
    type = None if sending.type == "-" else sending.type
    return Bulk(env, sending.file, type, (sending.wait, sending.timeout), sending.as_data)


def read(env: Environment, type: str, words: list[str], data: str | None, *, any: bool = False) -> Event:
    """Return the event that is given as words or as JSON: one that comes in from outside, or `any`. Raises
    BadInput, MessageError, ApplicationError.
    """
    app = env.application()
    reader = Reader(app.topology, app.settings.max_message_bytes, any=any)
    if data is None:
        return reader.from_words(type, words)
    reader.type_named(type)
    try:
        return reader.event(type, parsed(data))
    except BadInput as error:
        raise BadInput(f"--data: {error}") from None


async def _send(env: Environment, event: Event, sending: Sending, due: Due) -> int:
    as_data = sending.as_data
    async with env.application().client() as client:
        receipt = await client.send(event, id=sending.id, at=due.at, after=due.after)
        if not as_data:
            out(receipt.id)
        if not sending.wait:
            return _told(receipt, None, as_data)
        began = time.monotonic()
        try:
            outcome = await client.wait(receipt.id, timeout=sending.timeout)
        except WaitTimeout as error:
            if as_data:
                _told(receipt, Outcome(receipt.id, "running", reason=str(error)), as_data)
            raise fail(str(error)) from None
        _told(receipt, outcome, as_data, time.monotonic() - began)
        return EXIT.get(outcome.state, 2)


def _told(receipt: Receipt, outcome: Outcome | None, as_data: bool, seconds: float = 0.0) -> int:
    """Print what a send came to."""
    event = outcome.event if outcome else None
    if as_data:
        facts = {"id": receipt.id, "duplicate": receipt.duplicate}
        if outcome:
            said = {"type": event.type_name, "data": shown(event)} if event else None
            facts |= {
                "state": outcome.state,
                "event": said,
                "reason": outcome.reason,
                "seconds": round(seconds, 3),
            }
        as_json(facts)
    elif outcome:
        what = f"{event.type_name} {compact(shown(event))}" if event else clean(outcome.reason)
        out(f"{outcome.state} in {seconds:.3f} s{': ' if what else ''}{what}")
    elif receipt.duplicate:
        out("(sent before: nothing is started anew)")
    return 0
