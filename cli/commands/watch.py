"""`hybrid watch`: the live console of the event flow."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.console.picture import Size, picture, plain
from cli.console.state import VIEWS, State
from cli.console.watch import Watch
from cli.environment import environment, run
from cli.output import as_json, is_terminal, out, show
from hybrid.errors import SettingsError
from hybrid.inspect.snapshot import Sampler, Snapshot

EXAMPLES = (
    "Examples:\n\n`hybrid watch`\n\n`hybrid watch --view flows`\n\n"
    "`hybrid watch --once --json | jq .channels`"
)
ONCE = Size(140, 40)


def command(
    ctx: typer.Context,
    view: Annotated[str, typer.Option(help=f"Where to begin: {', '.join(VIEWS)}.")] = VIEWS[0],
    filter: Annotated[str, typer.Option(help="Only rows with these words; column=text looks in one.")] = "",
    interval: Annotated[float, typer.Option(help="Seconds between two looks, at least 1.", min=1.0)] = 1.0,
    may_act: Annotated[
        bool, typer.Option("--allow-actions", help="Let keys change something: R sends a failure back.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    as_data: Annotated[bool, typer.Option("--json", help="With --once: the snapshot as JSON.")] = False,
) -> None:
    """Watch what flows: deliveries as they come, flows, channels, components, the desk.

    It reads Redis only: it creates nothing there and can be opened and closed at any time. It samples: rates
    come from counters, and of what flows the newest is shown. Press `?` for the keys. Where there is no
    terminal it prints a line per look.
    """
    if view not in VIEWS:
        raise SettingsError(f"--view {view}: is one of {', '.join(VIEWS)}")
    if as_data and not once:
        raise SettingsError("--json goes with --once")
    env = environment(ctx)
    state = State(view=view, filter=filter)

    async def work() -> Snapshot | None:
        async with env.store() as (app, store):
            sampler = Sampler(store, app.topology, app.name)
            watch = Watch(
                app, store, sampler, max(interval, sampler.interval), state, await sampler.take(), may_act
            )
            if once:
                return watch.snapshot
            await (watch.run() if is_terminal() and sys.stdin.isatty() else watch.lines())
        return None

    snapshot = run(work)
    if snapshot is None:
        return
    if as_data:
        as_json(facts(snapshot))
    elif is_terminal():
        show(picture(snapshot, state, ONCE))
    else:
        out(plain(snapshot))


def facts(snapshot: Snapshot) -> dict[str, object]:
    """Return a snapshot as plain data."""
    found: dict[str, object] = {name: getattr(snapshot, name) for name in snapshot.__dataclass_fields__}
    found["failures"] = [failure.facts() for failure in snapshot.failures]
    return found
