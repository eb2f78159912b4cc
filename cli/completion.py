"""Completion in the shell: of message types, flows, tasks, and groups. What goes wrong offers nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import typer

from cli.environment import Environment, run
from hybrid import Event
from hybrid.broker.shard import Store
from hybrid.inspect.flows import summaries
from hybrid.inspect.tasks import open_tasks
from hybrid.topology import Topology

NEWEST = 20
"""So many flows are offered, the unfinished ones first; and so many tasks, the oldest first."""

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


async def _flows(store: Store, topology: Topology) -> list[str]:
    return [flow.id for flow in await summaries(store, topology, most=NEWEST)]


async def _tasks(store: Store, topology: Topology) -> list[str]:
    return [task.id for task in await open_tasks(store, most=NEWEST)]


def _in_store(names: Callable[[Store, Topology], Coroutine[Any, Any, list[str]]]) -> Completer:
    """Return a completer for what stands in the store; no server is started where none has ever been."""

    def found(env: Environment) -> list[str]:
        settings = env.settings
        if not settings.redis_url and not settings.directory.exists():
            return []

        async def work() -> list[str]:
            async with env.store() as (app, store):
                return await names(store, app.topology)

        return run(work)

    return _completing(found)


initiating = _completing(_initiating)
"""The types of initiating events."""
types = _completing(lambda env: sorted(cls.type_name for cls in _topology(env).catalog))
"""The types of all messages."""
events = _completing(lambda env: sorted(c.type_name for c in _topology(env).catalog if issubclass(c, Event)))
"""The types of all events."""
flows = _in_store(_flows)
"""The ids of flows."""
tasks = _in_store(_tasks)
"""The ids of open tasks."""
groups = _completing(lambda env: sorted(filter(_topology(env).topics_of, _topology(env).names)))
"""The names of components that listen to topics, which are their groups."""
