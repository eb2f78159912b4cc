"""Options that many commands have; and options as a record: a command with many of them takes one frozen
dataclass instead of a wall of parameters.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from inspect import Parameter, Signature
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from cli.reading import BadInput

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Where = Annotated[
    list[str] | None,
    typer.Option(metavar="FIELD=VALUE", help="Only where the data shows this; may be repeated."),
]
Who = Annotated[str, typer.Option("--as", metavar="NAME", help="Who does it; otherwise $USER.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def taking(record: type[T]) -> Callable[[Callable[[typer.Context, T], None]], Callable[..., None]]:
    """Make a command of a function of (context, record): each field of the record is an argument or an
    option.

    A field is annotated as typer has it: Annotated[type, typer.Option(…)]. Those without a default are
    keyword-only in the record, so that they may come after others.
    """
    hints = get_type_hints(record, include_extras=True)
    parameters = [Parameter("ctx", Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    for field in fields(record):  # type: ignore[arg-type]
        default = Parameter.empty if field.default is MISSING else field.default
        annotation = hints[field.name]
        parameters.append(
            Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )

    def decorate(function: Callable[[typer.Context, T], None]) -> Callable[..., None]:
        @wraps(function)
        def command(ctx: typer.Context, **given: Any) -> None:
            function(ctx, record(**given))

        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del command.__wrapped__
        return command

    return decorate


def user() -> str:
    """Return who is at this terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def pairs(words: list[str] | None) -> tuple[tuple[str, str], ...]:
    """Return what --where was given. Raises BadInput."""
    for word in words or []:
        if "=" not in word.strip("="):
            raise BadInput(f"--where {word!r} is no FIELD=VALUE")
    return tuple((word.partition("=")[0], word.partition("=")[2]) for word in words or [])
