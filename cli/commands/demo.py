"""`hybrid demo`: the whole bookstore at work, before your eyes, on a server and a database of its own."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from cli.environment import environment, run
from cli.output import as_json, err
from cli.reading import BadInput

EXAMPLES = (
    "Examples:\n\n`hybrid demo`\n\n"
    "`hybrid demo --keep .hybrid/demo`, then `hybrid flows list --directory .hybrid/demo`"
)


def command(
    ctx: typer.Context,
    keep: Annotated[
        Path | None, typer.Option(help="Work in this empty directory, and leave it as it is.")
    ] = None,
    as_data: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run the bookstore before your eyes.

    Some hundred orders, address changes and ratings go through all of it, step by step and side by side;
    a manager is asked about the large ones, which are paid by invoice.
    It brings its own server, in a temporary directory, and ends by itself. Exit code 0 only when the outcomes
    equal the
    known answers, the rows in the database agree, no flow is unfinished and the ledger balances; 1 when not.
    """
    if not environment(ctx).debug:
        logging.getLogger().setLevel(logging.ERROR)
    for name in [name for name in os.environ if name.startswith("BOOKSTORE_")]:
        del os.environ[name]  # the demo has a database and a mailbox of its own
    running = import_module("cli.demo.running")  # with the bookstore's database: other commands do not wait
    with _directory(keep) as directory:
        report = run(lambda: running.demo(Path(directory), silent=as_data))
    if as_data:
        as_json(running.facts(report))
    else:
        running.printed(report)
    if keep:
        err(f"everything is still there: hybrid flows list --directory {keep}, {keep}/outbox for the mails")
    if not report.good:
        raise typer.Exit(1)


def _directory(keep: Path | None) -> AbstractContextManager[str | Path]:
    if keep is None:
        return tempfile.TemporaryDirectory(prefix="hybrid-demo-", ignore_cleanup_errors=True)
    if keep.exists() and any(keep.iterdir()):
        raise BadInput(f"{keep} is not empty: the demo counts from nothing, choose another directory")
    return nullcontext(keep)
