"""The entry point: builds the application, and turns every error into one clear line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from cli.commands import (
    demo,
    desk,
    doctor,
    explain,
    failed,
    flows,
    groups,
    held,
    new,
    publish,
    run,
    schedule,
    send,
    status,
    subscribe,
    tail,
    tasks,
    topology,
    trace,
    watch,
)
from cli.environment import Environment
from cli.group import Root
from cli.output import err, out
from hybrid import HybridError, Settings

INTERRUPTED = 130
PANEL = "These may stand anywhere on the line"

app = typer.Typer(
    cls=Root,
    name="hybrid",
    help="A hybrid mediator-plus-broker event system on Redis Streams.",
    epilog="Start with `hybrid demo`. Without --redis-url it brings its own server, with data in .hybrid/.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, run, send, publish, subscribe, explain, status, watch, tail, trace, topology, doctor):
    app.command(module.__name__.rpartition(".")[2], epilog=module.EXAMPLES)(module.command)
app.add_typer(flows.app)
app.add_typer(tasks.app)
app.add_typer(desk.app)
app.add_typer(failed.app)
app.add_typer(held.app)
app.add_typer(groups.app)
app.add_typer(schedule.app)
app.add_typer(new.app)


def _said(name: str) -> str:
    """Return what the settings say of one of them: a sentence, and its variable."""
    return f"{Settings.model_fields[name].description} \\[HYBRID_{name.upper()}]"


@app.callback()
def root(
    ctx: typer.Context,
    app: Annotated[str | None, typer.Option(help=_said("app"), rich_help_panel=PANEL)] = None,
    redis_url: Annotated[str | None, typer.Option(help=_said("redis_url"), rich_help_panel=PANEL)] = None,
    domain: Annotated[str | None, typer.Option(help=_said("domain"), rich_help_panel=PANEL)] = None,
    directory: Annotated[Path | None, typer.Option(help=_said("directory"), rich_help_panel=PANEL)] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=PANEL)] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
) -> None:
    """Keep what was given for the commands."""
    ctx.obj = Environment(app, redis_url, domain, directory, debug)
    if show_version:
        out(f"hybrid {_version()}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        out(ctx.get_help())
        raise typer.Exit


def main(args: list[str] | None = None) -> None:
    """Run `hybrid`, and end the process: 0 done, 1 no (refused, unhealthy, not found), 2 an error, 130
    interrupted.
    """
    words = sys.argv[1:] if args is None else args
    _open_standard_streams()
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = _outcome(words)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _open_standard_streams() -> None:
    """Open those of stdin, stdout and stderr that are closed (`<&-`) on nothing: else the first connection
    gets the number of one, and the event loop ends the process.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


def _outcome(words: list[str]) -> int:
    """Run a command line; return its exit code. No traceback reaches a user who has not asked for it."""
    try:
        code = get_command(app).main(words, prog_name="hybrid", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.TyperException as error:  # a word on the line that is wrong
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "hybrid"
        err(f"error: {error.format_message()} (`{path} --help` tells more)")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except HybridError as error:
        return _told(words, str(error))
    except Exception as error:  # a bug, or a user's function that raises
        return _told(words, f"{type(error).__name__}: {error}")


def _told(words: list[str], text: str) -> int:
    if "--debug" in words:
        traceback.print_exc()
    err(f"error: {text}")
    return 2


def _version() -> str:
    try:
        return version("hybrid-streams")
    except PackageNotFoundError:
        return "(not installed)"
