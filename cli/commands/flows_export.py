"""`hybrid flows export`: writes the histories of flows to a file, to check code against them elsewhere."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TextIO

import typer

from cli.environment import Environment, environment, run
from cli.options import taking
from cli.output import err, out
from cli.reading import BadInput
from hybrid.errors import MessageError
from hybrid.inspect.histories import exported, histories
from hybrid.messages import kebab

EXAMPLES = (
    "Examples:\n\n`hybrid flows export histories.jsonl`\n\n"
    "`hybrid flows export histories.jsonl --type place-order --limit 1000`"
)


@dataclass(frozen=True, slots=True)
class Options:
    """What is exported, and where to."""

    file: Annotated[
        Path, typer.Argument(help="The file to write, a line of JSON for each flow; - for stdout.")
    ]
    state: Annotated[str, typer.Option(help="Only flows in this state.")] = ""
    type: Annotated[str, typer.Option(help="Only flows of an event type.")] = ""
    most: Annotated[int, typer.Option("--limit", "-n", help="How many; 0 for all.", min=0)] = 0
    secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Write secrets as they are; they are masked otherwise.")
    ] = False


@taking(Options)
def command(ctx: typer.Context, options: Options) -> None:
    """Write the histories of flows to a file, to check other code against them (`hybrid flows check --from`).

    Secrets are masked. Of a flow that has some, a check can't compare what its commands carry then, only
    which they are.
    """
    env = environment(ctx)
    if str(options.file) == "-":
        written, left_out = run(lambda: _write(env, options, out))
    else:
        with _replaced(options.file) as file:
            written, left_out = run(lambda: _write(env, options, lambda line: print(line, file=file)))
    err(f"{written:,} {'flow' if written == 1 else 'flows'} written")
    for why, flows in left_out.most_common():
        err(f"left out {flows:,}: {why}")


async def _write(
    env: Environment, options: Options, write: Callable[[str], None]
) -> tuple[int, Counter[str]]:
    written, left_out = 0, Counter[str]()
    async with env.store() as (app, store):
        wanted = histories(store, state=options.state, type=kebab(options.type), most=options.most)
        async for history in wanted:
            try:
                line = exported(history, app.topology.catalog, secrets=options.secrets)
            except MessageError as error:
                left_out[str(error)] += 1
                continue
            write(line)
            written += 1
    return written, left_out


@contextmanager
def _replaced(path: Path) -> Iterator[TextIO]:
    """Give a file, for its owner alone, that takes the place of this one when all is written. Raises
    BadInput.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            yield file
        beside.replace(path)
    except OSError as error:
        raise BadInput(f"{path} can't be written: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
