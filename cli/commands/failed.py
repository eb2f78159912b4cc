"""`hybrid failed`: what no retry could cure; look at it, and send it back."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from cli.environment import environment, run
from cli.output import Column, as_json, clean, clock, compact, err, out, show, span, table
from cli.reading import BadInput
from hybrid.broker.shard import Store
from hybrid.inspect.failures import FailureView, failures, named, retry
from hybrid.messages import kebab
from hybrid.topology import Topology

EXAMPLES = (
    "Examples:\n\n`hybrid failed list`\n\n`hybrid failed show payment/1700000000000-0`\n\n"
    "`hybrid failed retry payment/1700000000000-0`\n\n`hybrid failed retry --type apply-payment`\n\n"
    "An ID is the one of the list, or the id of the message or of its flow."
)
BATCH = 200
COLUMNS = [
    Column("id", keep=True),
    Column("age", right=True),
    Column("message"),
    Column("handler"),
    Column("attempts", right=True),
    Column("error"),
]

app = typer.Typer(name="failed", help="List, show and send back what has failed.", epilog=EXAMPLES)
Id = Annotated[
    str, typer.Argument(metavar="ID", help="As in the list, or the id of the message or its flow.")
]


@app.callback(invoke_without_command=True)
def failed(ctx: typer.Context) -> None:
    """List, show and send back what has failed."""
    if ctx.invoked_subcommand is None:
        list_failed(ctx)


@app.command(name="list", epilog=EXAMPLES)
def list_failed(
    ctx: typer.Context,
    type: Annotated[str, typer.Option(help="Only messages of a type.")] = "",
    component: Annotated[str, typer.Option(help="Only those that failed in a component.")] = "",
    most: Annotated[int, typer.Option("--limit", "-n", help="How many.", min=1)] = 50,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what has failed for good, newest first: which message, where, and why."""
    env = environment(ctx)

    async def work() -> list[FailureView]:
        async with env.store() as (app, store):
            return await _chosen(store, app.topology, kebab(type), component)

    everything = sorted(run(work), key=lambda failure: failure.failed, reverse=True)
    found = everything[:most]
    if as_data:
        as_json(
            [
                {name: value for name, value in failure.facts().items() if name != "traceback"}
                for failure in found
            ]
        )
        return
    now = int(time.time() * 1000)
    rows = [
        (
            each.id,
            span(max(now - each.failed, 0)),
            each.type,
            each.handler,
            each.attempts,
            f"{each.error}: {each.reason}",
        )
        for each in found
    ]
    table(COLUMNS, rows, "nothing has failed" + (" of this kind" if type or component else ""))
    if len(everything) > len(found):
        err(f"… and {len(everything) - len(found):,} older ones (--limit)")


@app.command(name="show", epilog=EXAMPLES)
def show_failed(
    ctx: typer.Context,
    id: Id,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a failed delivery whole: the message (secrets masked), the error, the traceback."""
    found = run(lambda: _named(ctx, id))
    if as_data:
        as_json([failure.facts() for failure in found])
    else:
        show(*(_picture(failure) for failure in found))


@app.command(name="retry", epilog=EXAMPLES)
def retry_failed(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As in the list.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Send everything back.")] = False,
    type: Annotated[str, typer.Option(help="Send all messages of a type back.")] = "",
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send failed deliveries back to the one group in which they failed; other listeners are not bothered
    again.

    Exit code 0 when all were sent back, 1 when somebody else had already handled some, 2 when there is no
    such failure.
    """
    if bool(ids) + everything + bool(type) != 1:
        raise BadInput("say which: hybrid failed retry ID …, or --type TYPE, or --all")
    results = run(lambda: _retried(ctx, ids or [], kebab(type)))
    if as_data:
        as_json([{"id": id, "result": result} for id, result in results])
    else:
        for id, result in results:
            out(f"{id}  {result}")
        back = sum(result == SENT_BACK for _, result in results)
        err(
            f"{back:,} sent back"
            + (f", {len(results) - back:,} already handled" if back < len(results) else "")
        )
    if any(result != SENT_BACK for _, result in results):
        raise typer.Exit(1)


SENT_BACK, ALREADY = "sent back", "already handled"


async def _retried(ctx: typer.Context, ids: list[str], type: str) -> list[tuple[str, str]]:
    async with environment(ctx).store() as (app, store):
        chosen: dict[str, FailureView] = {}
        if ids:
            for id in ids:
                chosen |= {failure.id: failure for failure in await _there(store, app.topology, id)}
        else:
            chosen = {failure.id: failure for failure in await _chosen(store, app.topology, type, "")}
        found = list(chosen.values())
        results: list[tuple[str, str]] = []
        for start in range(0, len(found), BATCH):
            some = found[start : start + BATCH]
            results += [
                (failure.id, SENT_BACK if done else ALREADY)
                for failure, done in zip(some, await retry(some), strict=True)
            ]
        return results


async def _named(ctx: typer.Context, id: str) -> list[FailureView]:
    async with environment(ctx).store() as (app, store):
        return await _there(store, app.topology, id)


async def _there(store: Store, topology: Topology, id: str) -> list[FailureView]:
    found = await named(store, topology, id)
    if not found:
        raise BadInput(f"no failure {id}: it was never there, or has been sent back (`hybrid failed list`)")
    return found


async def _chosen(store: Store, topology: Topology, type: str, component: str) -> list[FailureView]:
    return [
        failure
        async for failure in failures(store, topology)
        if type in ("", failure.type) and component in ("", failure.component)
    ]


def _picture(failure: FailureView) -> Group:
    """Return a failure as a picture: a pure function of the snapshot."""
    facts = {
        "id": failure.id,
        "message": f"{failure.type} {failure.message}",
        "flow": f"{failure.flow}, step {failure.step}" if failure.step else failure.flow,
        "failed in": f"{failure.handler} (from {failure.channel})",
        "failed at": clock(failure.failed),
        "sent at": clock(failure.sent),
        "attempts": str(failure.attempts),
        "key": failure.key,
        "data": compact(failure.data),
        "error": f"{failure.error}: {failure.reason}",
    }
    lines = [Text.assemble((f"{name:>10}  ", "dim"), clean(value)) for name, value in facts.items() if value]
    trace = [Text(f"            {clean(line)}", "dim") for line in failure.traceback.splitlines()]
    hint = Text.assemble(("            ", ""), (f"`hybrid failed retry {failure.id}` sends it back", "dim"))
    return Group(*lines, *trace, hint, Text(""))
