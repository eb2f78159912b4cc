"""Acting on failures, and telling honestly what it came to for each, and for all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import repeat

import typer

from cli.asking import confirm
from cli.desk.choosing import Chosen, orders
from cli.environment import Environment, run
from cli.output import as_json, clean, err, out
from cli.reading import BadInput
from hybrid.inspect.actions import RESULTS, WOULD, Desk, Order, Outcome
from hybrid.inspect.desk import Selection, count
from hybrid.inspect.stages import BATCH, DONE, Pace, Plan, batches, sent, staged

FINE = {*RESULTS.values(), DONE, WOULD}
NOTHING = "nothing at the desk is so: `hybrid desk` shows the groups, `hybrid desk list` what is there"
_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|m|h))?")
_SECONDS = {"s": 1, "m": 60, "h": 3600}

Work = Callable[[Desk, AsyncIterator[Order]], Awaitable[None]]


@dataclass
class Telling:
    """What was done so far: told as it comes, counted, and kept for JSON."""

    as_data: bool = False
    results: Counter[str] = field(default_factory=Counter)
    kept: list[Outcome] = field(default_factory=list)

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """Tell of some failures what came of them."""
        for outcome in outcomes:
            self.results[outcome.result.partition(" (")[0]] += 1
            if self.as_data:
                self.kept.append(outcome)
            else:
                out(line(outcome))

    def end(self, action: str) -> None:
        """Tell how many there were of each, and end with exit code 1 when some are not done."""
        if self.as_data:
            as_json(self.kept)
        err(counted(self.results) or f"0 {RESULTS[action]}: {NOTHING}")
        if set(self.results) - FINE:
            raise typer.Exit(1)


def line(outcome: Outcome) -> str:
    """Return what came of a failure, in a line."""
    new = f"  as {outcome.new}" if outcome.new else ""
    why = f": {outcome.why}" if outcome.why else ""
    return clean(f"{outcome.id}  {outcome.result}{why}{new}")


def counted(results: Counter[str]) -> str:
    """Return how many came to what: `3 sent back, 1 refused`."""
    return ", ".join(f"{number:,} {result}" for result, number in results.most_common())


def act(env: Environment, chosen: Chosen, action: str, *, archived: bool = False) -> None:
    """Do one thing with all that was chosen; many are asked about first."""
    selection = chosen.selection(archived)
    ask(env, selection, chosen.yes, action)
    telling = Telling(chosen.as_data)

    async def work(desk: Desk, some: AsyncIterator[Order]) -> None:
        async for outcomes in sent(desk, some, Pace(0)):
            telling.take(outcomes)

    at_desk(env, chosen, action, selection, work)
    telling.end(action)


def ask(env: Environment, selection: Selection | None, yes: bool, action: str) -> None:
    """Ask whether to go on with as many as a selection takes; not about none, nor about what was named."""
    if selection is None or yes:
        return

    async def counting() -> int:
        async with env.store() as (app, store):
            return await count(store, app.topology, selection)

    if number := run(counting):
        confirm(f"{action} {number:,} failure{'s' if number > 1 else ''}?")


def at_desk(env: Environment, chosen: Chosen, action: str, selection: Selection | None, work: Work) -> None:
    """Work at the desk of the store on what was chosen."""

    async def working() -> None:
        async with env.store() as (app, store):
            some = orders(store, app.topology, chosen.ids or [], selection)
            await work(Desk(store, app.topology, chosen.deed(action)), some)

    run(working)


@dataclass(frozen=True)
class Staging:
    """The options of a retry in stages."""

    stages: str | None = None
    stop_on: int = 1
    rate: str | None = None
    dry_run: bool = False
    patience: float = 30.0

    def check(self) -> None:
        """Raise BadInput for what can't be read."""
        self.plan()
        self.per_second()

    def plan(self) -> Plan | None:
        """Return the plan, None for all at once. Raises BadInput."""
        if self.stages is None:
            return None
        sizes = self.stages.split(",")
        if not all(size.strip().isdecimal() and 0 < int(size) <= 1_000_000 for size in sizes):
            raise BadInput(f"--stages {self.stages!r}: is how many in each stage, as 1,5,20,100")
        return Plan(tuple(map(int, sizes)), self.stop_on, self.per_second(), self.patience)

    def per_second(self) -> float:
        """Return how many go a second, 0 for no limit. Raises BadInput."""
        if self.rate is None:
            return 0.0
        found = _RATE.fullmatch(self.rate.strip())
        if not found or not float(found[1]):
            raise BadInput(f"--rate {self.rate!r}: is how many go in a time, as 50/s or 100/m")
        return float(found[1]) / _SECONDS[found[2] or "s"]


async def retry_all(desk: Desk, some: AsyncIterator[Order], staging: Staging, telling: Telling) -> None:
    """Send back what was chosen: at once, in stages, or not at all but telling what would be."""
    plan = staging.plan()
    if staging.dry_run:
        async for batch in batches(some, repeat(BATCH)):
            telling.take(await desk.would(batch))
        if plan:
            err(f"in stages of {', '.join(map(str, plan.sizes))}, and so on with {plan.sizes[-1]}")
        return
    if plan is None:
        async for outcomes in sent(desk, some, Pace(staging.per_second())):
            telling.take(outcomes)
        return
    async for stage in staged(desk, some, plan):
        telling.take(stage.outcomes)
        came = counted(Counter(outcome.result.partition(" (")[0] for outcome in stage.outcomes))
        err(f"stage {stage.number}: {came}")
        if stage.stopped:
            err(f"stopped: {stage.stopped} in stage {stage.number}; what comes after it was not touched")
