"""`hybrid run`: runs an application's components, in this process or in several."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.environment import Environment, environment, run
from cli.options import taking
from cli.output import err, is_terminal, out
from cli.processes import Processes
from cli.reloading import Reloading
from hybrid import App, discovery
from hybrid.errors import ApplicationError
from hybrid.runtime.dedicated import dedicate
from hybrid.runtime.worker import Worker

EXAMPLES = (
    "Examples:\n\n`hybrid run`\n\n`hybrid run payment inventory`: only these components\n\n"
    "`hybrid run --app shop --processes 4`: four processes, which compete\n\n"
    "`hybrid run --with subscriber.py`: the processors of a file besides\n\n"
    "`hybrid run --reload`: subscribers are taken up while it runs, as their files come and change"
)
WATCH = 1.0
"""Seconds between two looks whether the parent process still lives."""
Files = list[Path] | None


@dataclass(frozen=True, slots=True)
class Running:
    """What `hybrid run` is given."""

    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Mediators and processors; all without.")
    ] = None
    processes: Annotated[
        int, typer.Option("--processes", "-p", help="How many processes.", min=1, max=256)
    ] = 1
    files: Annotated[
        Files, typer.Option("--with", metavar="FILE.py", help="Run the processors of a file besides.")
    ] = None
    reload: Annotated[
        bool,
        typer.Option(
            "--reload", help="Take up new files of processors/, and changed ones of --with, while it runs."
        ),
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings only.")] = False
    parent: Annotated[int, typer.Option(hidden=True)] = 0
    alone: Annotated[Path | None, typer.Option(hidden=True)] = None
    """The file whose processors run, and nothing else: for a process that --reload starts."""
    without: Annotated[Files, typer.Option(hidden=True)] = None
    """The files of the application that the parent process has not loaded."""


@taking(Running)
def command(ctx: typer.Context, running: Running) -> None:
    """Run an application, or the named mediators and processors of it.

    Prints a line with `ready` when it consumes.
    SIGTERM and Ctrl-C stop it gracefully: running handlers end, the rest is handed back. A second Ctrl-C ends
    it at once.
    With --reload, files that come or change later are run by processes of their own, beside what runs, which
    is not touched; what the application had loaded at the start stays as it was until a restart.
    """
    if not running.quiet:
        logging.getLogger().setLevel(logging.INFO)
    env = environment(ctx)
    app, names = _loaded(env, running)
    unknown = [name for name in names if name not in app.topology.names]
    if unknown:
        raise ApplicationError(
            f"no component is called {unknown[0]}; there are: {', '.join(app.topology.names)}"
        )
    reloading = _reloading(env, app, running) if running.reload else None
    if running.processes > 1:
        words = [*env.words(), "run", *names, *(["--quiet"] if running.quiet else [])]
        words += [word for path in running.files or () for word in ("--with", str(path))]
        raise typer.Exit(run(lambda: Processes(words, running.processes).run(app)))
    raise typer.Exit(run(lambda: consume(app, names, running.parent, reloading)))


def _loaded(env: Environment, running: Running) -> tuple[App, list[str]]:
    """Return the application, with the files that go with it, and the names of what to run of it."""
    names = running.names or []
    if running.alone is None:
        app = env.application()
        return (app if running.reload else discovery.with_files(app, running.files or ())), names
    spec = env.settings.app
    if spec != discovery.BOOKSTORE:
        sys.path.insert(0, str(Path.cwd()))
    base = discovery.load(spec, without=running.without or (), **env.given)
    base = discovery.with_files(base, running.files or ())
    app = discovery.with_files(base, [running.alone])
    return app, [name for name in app.topology.names if name not in base.topology.names]


def _reloading(env: Environment, app: App, running: Running) -> Reloading:
    """Return what watches the files. Raises ApplicationError when there is nothing to watch."""
    if running.processes > 1:
        raise ApplicationError("--reload and --processes do not go together: choose one")
    files = running.files or []
    if missing := [path for path in files if not path.is_file()]:
        raise ApplicationError(f"no file {missing[0]} here ({Path.cwd()})")
    if not files and app.folder is None:
        raise ApplicationError(
            f"--reload finds nothing to watch: {env.settings.app} has no folder processors/ in which files"
            " are found, and no file is given: --with FILE.py"
        )
    return Reloading([*env.words(), "run", *(["--quiet"] if running.quiet else [])], app.folder, files)


async def consume(app: App, names: Sequence[str], parent: int = 0, reloading: Reloading | None = None) -> int:
    """Run a worker until a signal, its parent's death, or an error of its own ends it; return the exit
    code.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    async with AsyncExitStack() as stack:
        if reloading:
            await stack.enter_async_context(reloading)
        worker = await stack.enter_async_context(app.worker(names))
        dedicate()
        what = f"{len(worker.names)} components" if not names else ", ".join(worker.names)
        out(f"ready: {app.name} consumes ({what}) as {worker.consumer}")
        if is_terminal():
            err("Ctrl-C stops it.")
        if reloading:
            reloading.start()
        await _until_stopped(worker, stop, parent)
        if stop.is_set():
            err("stopping: what runs may end, the rest is handed back")
        if reloading:
            reloading.end()
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
