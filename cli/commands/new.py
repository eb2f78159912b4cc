"""`hybrid new`: writes the beginning of something."""

from __future__ import annotations

import keyword
import re
import shutil
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from cli import completion
from cli.environment import environment
from cli.output import err, out
from cli.subscribers import described
from hybrid.errors import ApplicationError
from hybrid.processor import checked_name as checked_processor

EXAMPLES = (
    "Examples:\n\n`hybrid new app shop`\n\n`hybrid run --app shop`\n\n"
    "`hybrid new subscriber gift-wrap --on payment-applied`"
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
SUFFIX = ".tmpl"

app = typer.Typer(
    name="new",
    help="Write the beginning of an application, or of a subscriber.",
    epilog=EXAMPLES,
    no_args_is_help=True,
)


@app.callback()
def new() -> None:
    """Write the beginning of an application, or of a subscriber."""


@app.command(name="app", epilog=EXAMPLES)
def new_app(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The package's name: a-z, 0-9 and _.")],
) -> None:
    """Write a minimal application, which runs at once.

    Messages, a rule, a flow, two processors, a subscriber, a test.
    """
    env = environment(ctx)
    place = Path.cwd() / checked(name)
    if place.exists():
        raise ApplicationError(f"{place} exists already: choose another name, or another directory")
    try:
        written = _write(
            files("cli") / "templates" / "app",
            place,
            {"name": name, "title": name.replace("_", " ").capitalize()},
        )
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        raise ApplicationError(f"{place} can't be written: {error.strerror}") from error
    if env.debug:
        err(f"{len(written)} files in {place}")
    for path in written:
        out(str(path.relative_to(Path.cwd())))
    err(
        f"\nRun it:    hybrid run --app {name}\n"
        "Send:      hybrid send order-placed order_id=o-1 item=tea quantity=2 price=3.50 --wait"
        f" --app {name}\n"
        f"Look:      hybrid topology --app {name}\n"
        f"Test it:   python -m pytest {name}\n"
        f"(export HYBRID_APP={name} saves the --app)"
    )


@app.command(name="subscriber", epilog=EXAMPLES)
def new_subscriber(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The processor's name: a-z, 0-9 and -.")],
    types: Annotated[
        list[str],
        typer.Option(
            "--on", help="An event that it listens to; repeatable.", autocompletion=completion.events
        ),
    ],
) -> None:
    """Write a subscriber to one or several events, with a test beside it.

    Into the application's processors/ when that is below this directory, else right here.
    """
    env = environment(ctx)
    subscriber = described(env.application(), env.settings.app, checked_processor(name), types)
    paths = subscriber.write()
    for path in paths:
        out(str(path.relative_to(Path.cwd())))
    if subscriber.problem:
        err(f"\nFill in, in {paths[1].name}: {subscriber.problem}")
    way = "" if subscriber.belongs else f" --with {paths[0].name}"
    err(
        f"\nRun it:    hybrid run {name}{way}\nTest it:   python -m pytest {paths[1].relative_to(Path.cwd())}"
    )


def checked(name: str) -> str:
    """Return a name for a package. Raises ApplicationError for one that can't be imported, or hides another
    package.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ApplicationError(
            f"{name!r} is no name for a package: a-z, 0-9 and _, a letter first, 50 at most"
        )
    if find_spec(name) is not None and not (Path.cwd() / name).exists():
        raise ApplicationError(
            f"a package {name} is installed already; yours would hide it: choose another name"
        )
    return name


def _write(source: Traversable, place: Path, words: dict[str, str]) -> list[Path]:
    """Write templates as files; return their paths."""
    place.mkdir(parents=True)
    written = []
    for item in sorted(source.iterdir(), key=lambda each: each.name):
        if item.is_dir():
            written += _write(item, place / item.name, words)
        elif item.name.endswith(SUFFIX):
            path = place / item.name.removesuffix(SUFFIX)
            path.write_text(Template(item.read_text()).substitute(words))
            written.append(path)
    return written
