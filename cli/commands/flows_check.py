"""`hybrid flows check`: runs recorded flows again on an application's code, and tells where they differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from cli.environment import Environment, environment, run
from cli.options import taking
from cli.output import as_json, clean, out
from cli.reading import BadInput
from hybrid.errors import FlowError
from hybrid.inspect.checks import Check, Differing
from hybrid.inspect.histories import histories, imported
from hybrid.messages import kebab

EXAMPLES = (
    "Examples:\n\n`hybrid flows check --against shop_next`\n\n"
    "`hybrid --app shop flows check --from histories.jsonl`\n\n"
    "`hybrid flows check --type place-order --state running --json`"
)
MOST = 20
"""So many ways to differ are told of."""


@dataclass(frozen=True, slots=True)
class Options:
    """Which flows are checked, and against what."""

    against: Annotated[
        str,
        typer.Option(metavar="MODULE", help="The code: an application, named as for --app; by default it."),
    ] = ""
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Flows that `hybrid flows export` wrote.")
    ] = None
    state: Annotated[str, typer.Option(help="Only flows in this state.")] = ""
    type: Annotated[str, typer.Option(help="Only flows of an event type.")] = ""
    most: Annotated[int, typer.Option("--limit", "-n", help="How many, newest first; 0 for all.", min=0)] = 0
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False


@taking(Options)
def command(ctx: typer.Context, options: Options) -> None:
    """Run recorded flows again on the code of an application, and tell the first step that differs.

    Nothing is sent and nothing changed. The exit code is 0 when all fit and 1 when one differs: a test for a
    change of the code.
    """
    env = environment(ctx)
    code = replace(env, app=options.against, loaded=[]) if options.against else env
    check = Check(code.application().topology)
    if options.file:
        _from_file(check, options.file, options)
    else:
        run(lambda: _from_store(check, env, options))
    if options.as_data:
        as_json(_facts(check))
    else:
        out("\n".join(_lines(check)))
    if check.differing:
        raise typer.Exit(1)


def _from_file(check: Check, path: Path, options: Options) -> None:
    found = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for history in imported(lines):
                record = history.record
                if options.type and record.facts["type"] != kebab(options.type):
                    continue
                if options.state not in ("", record.state):
                    continue
                check.take(record)
                found += 1
                if found == options.most:
                    return
    except FlowError as error:
        raise BadInput(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} can't be read: {error}") from error


async def _from_store(check: Check, env: Environment, options: Options) -> None:
    async with env.store() as (_, store):
        wanted = histories(store, state=options.state, type=kebab(options.type), most=options.most)
        async for history in wanted:
            check.take(history.record)


def _facts(check: Check) -> dict[str, object]:
    return {
        "checked": check.checked,
        "fit": check.fit,
        "differing": check.differing,
        "left_out": [{"why": why, "flows": flows} for why, flows in check.left_out.most_common()],
    }


def _lines(check: Check) -> list[str]:
    """Return what came of a check in words."""
    kinds = check.differing
    lines = [line for kind in kinds[:MOST] for line in _kind(kind)]
    if len(kinds) > MOST:
        flows = sum(kind.flows for kind in kinds[MOST:])
        lines.append(f"… and {len(kinds) - MOST:,} other ways, in {_flows(flows)}")
    lines += [f"not checked {_flows(flows)}: {clean(why)}" for why, flows in check.left_out.most_common()]
    differ = check.checked - check.fit
    said = f"{_flows(differ)} of {check.checked:,} differ" if differ else f"{_flows(check.checked)}: all fit"
    return [*lines, said]


def _kind(kind: Differing) -> list[str]:
    where = f"{kind.mediator}, {kind.type}, version {kind.version}"
    more = ", …" if kind.flows > len(kind.examples) else ""
    return [
        clean(f"{where}: {kind.difference}"),
        clean(f"    {_flows(kind.flows)}: {', '.join(kind.examples)}{more}"),
    ]


def _flows(number: int) -> str:
    return f"{number:,} {'flow' if number == 1 else 'flows'}"
