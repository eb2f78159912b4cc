"""Completion in the shell: of message types, flows, and groups. What goes wrong offers nothing."""

from __future__ import annotations

from collections.abc import Callable

import typer

from cli.environment import Environment, run
from hybrid import Event
from hybrid.inspect.flows import summaries
from hybrid.topology import Topology

NEWEST = 20
"""So many flows are offered, the unfinished ones first."""

Completer = Callable[[typer.Context, str], list[str]]


def _completing(names: Callable[[Environment], list[str]]) -> Completer:
    """Return a completer that offers those names that begin with what is typed."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        given = ctx.find_root().params
        env = Environment(
            given.get("app"), given.get("redis_url"), given.get("domain"), given.get("directory")
        )
        try:
            return [name for name in names(env) if name.startswith(incomplete)]
        except Exception:  # a shell shows what a completer says in the middle of the line
            return []

    return complete


def _topology(env: Environment) -> Topology:
    return env.application().topology


def _initiating(env: Environment) -> list[str]:
    topology = _topology(env)
    return sorted(cls.type_name for front in topology.fronts.values() for cls in front.events)


def _flows(env: Environment) -> list[str]:
    """Return ids of flows; without starting a server where none has ever been."""
    settings = env.settings
    if not settings.redis_url and not settings.directory.exists():
        return []

    async def work() -> list[str]:
        async with env.store() as (app, store):
            return [flow.id for flow in await summaries(store, app.topology, most=NEWEST)]

    return run(work)


initiating = _completing(_initiating)
"""The types of initiating events."""
types = _completing(lambda env: sorted(cls.type_name for cls in _topology(env).catalog))
"""The types of all messages."""
events = _completing(lambda env: sorted(c.type_name for c in _topology(env).catalog if issubclass(c, Event)))
"""The types of all events."""
flows = _completing(_flows)
"""The ids of flows."""
groups = _completing(lambda env: sorted(_topology(env).processors))
"""The names of processors, which are their groups."""
