"""The verbs of `hybrid flows` that steer: cancel, pause, resume, retry, restart, fix."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cli.environment import Environment, environment
from cli.flows.acting import Deed, act
from cli.flows.choosing import ONE, Reasoned, examples
from cli.flows.rules import Ruling, rule
from cli.options import taking, user
from cli.reading import BadInput, pair
from hybrid import App
from hybrid.broker.shard import Store
from hybrid.inspect.steering import Steering

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class Cancelling(Reasoned):
    """The options of `hybrid flows cancel`."""

    at_once: Annotated[
        bool, typer.Option("--now", help="End it at once; what it has done is not undone.")
    ] = False


@app.command(
    name="cancel",
    epilog=examples(
        f"cancel {ONE} --reason 'ordered twice'",
        "cancel --type place-order --step approve --older-than 7d --dry-run",
        f"cancel {ONE} --now",
    ),
)
@taking(Cancelling)
def cancel(ctx: typer.Context, options: Cancelling) -> None:
    """End flows that go on: each first undoes what it has done (`flow.undo`), then it is cancelled.

    With --now nothing is undone. Exit code 0 when all were cancelled, 1 when one was
    refused, 2 when nothing could be done.
    """
    steer(environment(ctx), options, "cancel", lambda steering: _now(steering, options.at_once))


@app.command(
    name="pause",
    epilog=examples(
        f"pause {ONE}",
        "pause --step apply-payment --reason 'the bank is down'",
        "pause --all-of-type place-order",
    ),
)
@taking(Ruling)
def pause(ctx: typer.Context, options: Ruling) -> None:
    """Hold flows: what comes for one is kept, and it goes on when it is resumed.

    With --all-of-type or --all-of-key all flows of a type or a key, also those that are
    still to come.
    """
    if options.rules:
        rule(environment(ctx), options, "pause")
    else:
        steer(environment(ctx), options, "pause", lambda steering: steering.pause)


@app.command(
    name="resume",
    epilog=examples(f"resume {ONE}", "resume --state paused", "resume --all-of-type place-order"),
)
@taking(Ruling)
def resume(ctx: typer.Context, options: Ruling) -> None:
    """Let flows that are paused go on; with --all-of-type or --all-of-key end such a rule."""
    if options.rules:
        rule(environment(ctx), options, "resume")
    else:
        steer(environment(ctx), options, "resume", lambda steering: steering.resume)


@app.command(
    name="retry",
    epilog=examples(f"retry {ONE}", "retry --state failed --step apply-payment --reason 'mended'"),
)
@taking(Reasoned)
def retry(ctx: typer.Context, options: Reasoned) -> None:
    """Do again what has failed in flows: the step that waits at the desk, or the flow's own function."""
    steer(environment(ctx), options, "retry", lambda steering: steering.retry)


@dataclass(frozen=True, kw_only=True)
class Restarting(Reasoned):
    """The options of `hybrid flows restart`."""

    first: Annotated[
        int,
        typer.Option("--from", metavar="STEP", help="The number of the first step that is done anew.", min=1),
    ]
    version: Annotated[
        int, typer.Option(help="The version of the flow's function; otherwise the one it has.", min=0)
    ] = 0


@app.command(
    name="restart",
    epilog=examples(f"restart {ONE} --from 3", "restart --state failed --from 3 --version 2 --dry-run"),
)
@taking(Restarting)
def restart(ctx: typer.Context, options: Restarting) -> None:
    """Run flows anew from a step on: what was done before is kept, the rest is done again.

    Flows that have ended can be restarted, too: give their ids, or a --state. The run
    before is kept: `hybrid flows show ID --run N`.
    """

    def deed(steering: Steering) -> Deed:
        return lambda flow: steering.restart(flow, step=options.first, version=options.version)

    steer(environment(ctx), options, "restart", deed, ended=bool(options.state))


@dataclass(frozen=True, kw_only=True)
class Fixing(Reasoned):
    """The options of `hybrid flows fix`."""

    words: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="STEP.FIELD=VALUE", help="What a step's result says instead; may be repeated."
        ),
    ]


@app.command(
    name="fix",
    epilog=examples(
        f"fix {ONE} --set 2.receipt=R-77 --reason 'the bank told us'", f"fix {ONE} --set 1.order.total:=12.50"
    ),
)
@taking(Fixing)
def fix(ctx: typer.Context, options: Fixing) -> None:
    """Put right what the recorded result of a step says.

    The result as a whole must be valid still. FIELD may lead inwards with dots;
    STEP.FIELD:=JSON gives any value. What a flow has already done with the wrong
    result stays done: `hybrid flows restart --from` does it anew.
    """
    changes = [_change(word) for word in options.words]

    def deed(steering: Steering) -> Deed:
        return lambda flow: steering.fix(flow, changes)

    steer(environment(ctx), options, "fix", deed)


def steer(
    env: Environment,
    options: Reasoned,
    verb: str,
    deed: Callable[[Steering], Deed],
    *,
    ended: bool = False,
) -> None:
    """Do something with all flows that were chosen, in the name of who sits here."""

    @asynccontextmanager
    async def opening(app: App, store: Store) -> AsyncIterator[Deed]:
        who = options.who or user()
        yield deed(Steering(store, app.topology, who, options.reason, dry=options.dry_run))

    act(env, options, verb, opening, ended=ended)


def _now(steering: Steering, at_once: bool) -> Deed:
    return lambda flow: steering.cancel(flow, now=at_once)


def _change(word: str) -> tuple[int, str, Any]:
    """Return the step, the field and the value of STEP.FIELD=VALUE. Raises BadInput."""
    path, value = pair(word)
    step, dot, field = path.partition(".")
    if not (step.isdecimal() and dot and field) or not 0 < int(step[:10]) < 10**9:
        raise BadInput(
            f"--set {path}: is STEP.FIELD=VALUE, as 2.receipt=R-77 (`hybrid flows show` has the steps)"
        )
    return int(step), field, value
