"""Doing one thing with many flows, and telling honestly what it came to for each, and for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import typer

from cli.asking import confirm
from cli.environment import Environment, run
from cli.flows.choosing import Chosen
from cli.output import as_json, clean, err, out
from cli.progress import progress
from hybrid import App
from hybrid.broker.shard import Store
from hybrid.inspect.actions import REFUSED
from hybrid.inspect.query import Query, count, selected
from hybrid.inspect.steering import Steered

AT_ONCE = 100
"""So many flows are acted on side by side."""
NOTHING = "no flow is so: `hybrid flows list` takes the same options"


Deed = Callable[[str], Awaitable[Steered]]
"""What is done with one flow."""
Opening = Callable[[App, Store], AbstractAsyncContextManager[Deed]]


@dataclass
class Telling:
    """What was done so far: told as it comes, counted, and kept for JSON."""

    as_data: bool = False
    results: Counter[str] = field(default_factory=Counter)
    kept: list[dict[str, str]] = field(default_factory=list)

    def take(self, some: Iterable[Steered]) -> None:
        """Tell of some flows what came of them."""
        told = list(some)
        self.results.update(each.result for each in told)
        if self.as_data:
            self.kept += [each._asdict() for each in told]
        elif told:
            out("\n".join(map(line, told)))

    def end(self) -> None:
        """Tell how many there were of each, and end with exit code 1 when some were refused."""
        if self.as_data:
            as_json(self.kept)
        if not self.results:
            err(NOTHING)
        elif self.results.total() > 1:
            err(", ".join(f"{number:,} {result}" for result, number in self.results.most_common()))
        if self.results[REFUSED]:
            raise typer.Exit(1)


def line(steered: Steered) -> str:
    """Return what came of a flow, in a line."""
    return clean(f"{steered.id}  {steered.result}" + (f": {steered.why}" if steered.why else ""))


def act(env: Environment, chosen: Chosen, verb: str, opening: Opening, *, ended: bool = False) -> None:
    """Do one thing with all flows that were chosen; many that a query takes are asked about first.

    `ended`: whether the query takes flows that have ended, when no state says so. Raises BadInput.
    """
    query = chosen.chosen(env.application().topology, ended=ended)
    number = _number(env, chosen, query)
    if query and number > 1 and not (chosen.yes or chosen.dry_run):
        confirm(f"{verb} {number:,} flows?")
    telling = Telling(chosen.as_data)

    async def work() -> None:
        async with env.store() as (app, store), opening(app, store) as deed:
            with progress() as bars:
                bar = bars.add_task(verb, total=number)
                async for ids in _batches(_chosen(app, store, chosen, query)):
                    telling.take(await asyncio.gather(*map(deed, ids)))
                    bars.advance(bar, len(ids))

    try:
        run(work)
    except KeyboardInterrupt:
        done, more = telling.results.total(), f"and maybe some of the next {AT_ONCE}"
        err(f"interrupted: {done:,} of {number:,} flows are done, {more}; the others are as they were")
        raise
    telling.end()


def _number(env: Environment, chosen: Chosen, query: Query | None) -> int:
    """Return how many flows are chosen."""
    if query is None:
        return len(set(chosen.ids or []))

    async def counting() -> int:
        async with env.store() as (app, store):
            return await count(store, app.topology, query)

    number = run(counting)
    return min(number, chosen.most or number)


async def _chosen(app: App, store: Store, chosen: Chosen, query: Query | None) -> AsyncIterator[str]:
    """Yield the ids of the flows that are chosen, each once."""
    if query is None:
        for id in dict.fromkeys(chosen.ids or []):
            yield id
        return
    number = 0
    async for record in selected(store, app.topology, query):
        yield record.id
        number += 1
        if number == chosen.most:
            return


async def _batches(ids: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    """Yield ids, AT_ONCE at a time."""
    batch: list[str] = []
    async for id in ids:
        batch.append(id)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
