"""`hybrid run`: runs an application's components, in this process or in several."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Annotated

import typer

from cli.environment import Environment, environment, run
from cli.output import err, is_terminal, out
from cli.processes import Processes
from hybrid.errors import ApplicationError
from hybrid.runtime.dedicated import dedicate
from hybrid.runtime.worker import Worker

EXAMPLES = (
    "Examples:\n\n`hybrid run`\n\n`hybrid run payment inventory`: only these components\n\n"
    "`hybrid run --app shop --processes 4`: four processes, which compete"
)
WATCH = 1.0
"""Seconds between two looks whether the parent process still lives."""


def command(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Mediators and processors; all without.")
    ] = None,
    processes: Annotated[
        int, typer.Option("--processes", "-p", help="How many processes.", min=1, max=256)
    ] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings only.")] = False,
    parent: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Run an application, or the named mediators and processors of it.

    Prints a line with `ready` when it consumes.
    SIGTERM and Ctrl-C stop it gracefully: running handlers end, the rest is handed back. A second Ctrl-C ends
    it at once.
    """
    if not quiet:
        logging.getLogger().setLevel(logging.INFO)
    env = environment(ctx)
    app = env.application()
    unknown = [name for name in names or () if name not in app.topology.names]
    if unknown:
        raise ApplicationError(
            f"no component is called {unknown[0]}; there are: {', '.join(app.topology.names)}"
        )
    if processes > 1:
        words = [*env.words(), "run", *(names or ()), *(["--quiet"] if quiet else [])]
        raise typer.Exit(run(lambda: Processes(words, processes).run(app)))
    raise typer.Exit(run(lambda: _work(env, names or [], parent)))


async def _work(env: Environment, names: list[str], parent: int) -> int:
    """Run a worker until a signal, its parent's death, or an error of its own ends it."""
    app = env.application()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    async with app.worker(names) as worker:
        dedicate()
        what = f"{len(worker.names)} components" if not names else ", ".join(worker.names)
        out(f"ready: {app.name} consumes ({what}) as {worker.consumer}")
        if is_terminal():
            err("Ctrl-C stops it.")
        await _until_stopped(worker, stop, parent)
        if stop.is_set():
            err("stopping: what runs may end, the rest is handed back")
    if worker.error:
        err(f"error: {worker.error}")
        return 2
    err("stopped")
    return 0


async def _until_stopped(worker: Worker, stop: asyncio.Event, parent: int) -> None:
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(worker.stopped.wait())]
    try:
        while not any(wait.done() for wait in waits):
            if parent and os.getppid() != parent:
                err("the parent process is gone")
                return
            await asyncio.wait(waits, timeout=WATCH if parent else None, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
