"""Rules that hold all flows of a type or a key, also those to come: `hybrid flows pause --all-of-type`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from cli import completion
from cli.asking import confirm
from cli.environment import Environment, run
from cli.flows.acting import Telling
from cli.flows.choosing import Reasoned
from cli.options import user
from cli.reading import BadInput
from hybrid.inspect.query import Query, count
from hybrid.inspect.steering import Steered, Steering
from hybrid.messages import kebab
from hybrid.topology import Topology

TYPE, KEY = "type", "key"


@dataclass(frozen=True, kw_only=True)
class Ruling(Reasoned):
    """The options of `hybrid flows pause` and `resume`: flows, or a rule."""

    all_of_type: Annotated[
        str, typer.Option(metavar="TYPE", help="All of an event type.", autocompletion=completion.initiating)
    ] = ""
    all_of_key: Annotated[str, typer.Option(metavar="KEY", help="All whose event has this key.")] = ""

    @property
    def rules(self) -> bool:
        """Whether it is a rule that was given. Raises BadInput when flows were, too."""
        given = [name for name in (self.all_of_type, self.all_of_key) if name]
        if given and (len(given) > 1 or self.ids or self.selects or self.most):
            raise BadInput(
                "--all-of-type and --all-of-key stand alone: they are about all flows, also to come"
            )
        return bool(given)

    def rule(self, topology: Topology) -> tuple[str, str]:
        """Return the kind of the rule and its type or key. Raises BadInput for a type that starts no flow."""
        if not self.all_of_type:
            return KEY, self.all_of_key
        known = sorted({cls.type_name for each in topology.mediators.values() for cls in each.flows})
        if kebab(self.all_of_type) not in known:
            raise BadInput(f"--all-of-type {self.all_of_type}: is one of {', '.join(known)}")
        return TYPE, kebab(self.all_of_type)


def rule(env: Environment, options: Ruling, verb: str) -> None:
    """Make or end a rule; it is asked about first. Raises BadInput."""
    kind, name = options.rule(env.application().topology)

    async def counting() -> int:
        async with env.store() as (app, store):
            query = Query(type=name) if kind == TYPE else Query(key=name)
            return await count(store, app.topology, query)

    async def work() -> Steered:
        async with env.store() as (app, store):
            who = options.who or user()
            steering = Steering(store, app.topology, who, options.reason, dry=options.dry_run)
            return await (steering.pause_all if verb == "pause" else steering.resume_all)(kind, name)

    if not (options.yes or options.dry_run):
        confirm(f"{verb} all flows of {kind} {name}: {run(counting):,} that go on, and those to come?")
    telling = Telling(options.as_data)
    telling.take([run(work)])
    telling.end()
