"""`hybrid status`: how much waits where, who consumes, the flows, and the ledger."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.environment import environment, run
from cli.output import Column, as_json, err, is_terminal, out, show, span, table
from hybrid.inspect.ledger import NOBODY, Ledger
from hybrid.inspect.status import ConsumerStatus, GroupStatus, Status, status

EXAMPLES = (
    "Examples:\n\n`hybrid status`\n\n`hybrid status --check && echo consuming`\n\n"
    "`hybrid status --json | jq .failures`"
)
NUMBERS = ("workers", "waiting", "pending", "repair", "later", "held", "failed", "oldest")
COMPONENTS = [Column("component"), Column("kind"), *(Column(name, right=True) for name in NUMBERS)]
WORKERS = [Column("worker", keep=True), Column("state"), Column("age", right=True), Column("components")]
_NAMES = {NOBODY: "(nobody)"}


def command(
    ctx: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="For health probes: only problems, and the exit code.")
    ] = False,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what waits where, who consumes it, and the ledger.

    The ledger tells of each component how much has entered, how much has left, and where the rest is.
    With --check: exit code 0 when every component is being consumed and the ledger balances, 1 when not. A
    component is healthy when a
    living worker has it and reads it, not when a process merely runs.
    """
    env = environment(ctx)

    async def work() -> Status:
        async with env.store() as (app, store):
            return await status(store, app.topology, deep=not check)

    found = run(work)
    if as_data:
        as_json(facts(found))
    elif check:
        for problem in found.sickness:
            out(problem)
        if not found.sickness:
            out("consuming")
    else:
        _print(found)
    if check and found.sickness:
        raise typer.Exit(1)


def facts(found: Status) -> dict[str, Any]:
    """Return a status as plain data, with what is worked out from it."""
    problems = {"failures": found.failures, "problems": found.problems, "healthy": not found.sickness}
    return {**asdict(found), "balanced": found.ledger.balanced, **problems}


def _print(found: Status) -> None:
    _title("components")
    table(COMPONENTS, [_component(group) for group in found.groups], "no components")
    _title("workers")
    table(WORKERS, [_worker(found, each) for each in found.consumers], "no workers: `hybrid run` starts one")
    _title("ledger")
    _ledger(found.ledger)
    flows = ", ".join(f"{count:,} {state}" for state, count in found.flows.items())
    out(f"flows: {flows}")
    out(f"scheduled: {found.scheduled:,}" + (" (`hybrid schedule`)" if found.scheduled else ""))
    out(f"failures: {found.failures:,}" + (" (`hybrid desk`)" if found.failures else ""))
    out(f"ledger: {'balanced' if found.ledger.balanced else 'DOES NOT BALANCE'}")
    for problem in found.problems:
        err(f"! {problem}")


def _component(group: GroupStatus) -> list[Any]:
    oldest = span(group.oldest) if group.oldest else ""
    places = (group.waiting, group.pending, group.repair, group.later, group.held, group.failed)
    numbers = (group.consumers, *places)
    return [_NAMES.get(group.name, group.name), group.kind, *map("{:,}".format, numbers), oldest]


def _worker(found: Status, worker: ConsumerStatus) -> list[Any]:
    age = span(max(found.at - worker.since, 0))
    return [worker.name, "alive" if worker.alive else "gone", age, ", ".join(worker.components)]


def _ledger(ledger: Ledger) -> None:
    names = (
        "entered",
        "settled",
        "expired",
        "discarded",
        "cut",
        "waiting",
        "pending",
        "repair",
        "later",
        "failed",
        "archived",
        "held",
        "missing",
    )
    totals: dict[str, list[int]] = {}
    for group in ledger.groups:
        row = totals.setdefault(_NAMES.get(group.group, group.group), [0] * len(names))
        for n, name in enumerate(names):
            row[n] += getattr(group, name)
    rows = [(name, *map("{:,}".format, row)) for name, row in totals.items()]
    table([Column("group"), *(Column(name, right=True) for name in names)], rows, "nothing has entered yet")


def _title(text: str) -> None:
    if is_terminal():
        show(Text(f"\n{text}", "bold"))
    else:
        out(f"# {text}")
