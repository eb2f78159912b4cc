"""Options as a record: a command with many of them takes one frozen dataclass instead of a wall of
parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, TypeVar, get_type_hints

import typer

T = TypeVar("T")


def taking(record: type[T]) -> Callable[[Callable[[typer.Context, T], None]], Callable[..., None]]:
    """Make a command of a function of (context, record): each field of the record is an argument or an
    option.

    A field is annotated as typer has it: Annotated[type, typer.Option(…)].
    """
    hints = get_type_hints(record, include_extras=True)
    parameters = [Parameter("ctx", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    for field in fields(record):  # type: ignore[arg-type]
        default = Parameter.empty if field.default is MISSING else field.default
        kind = Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(Parameter(field.name, kind, default=default, annotation=hints[field.name]))

    def decorate(function: Callable[[typer.Context, T], None]) -> Callable[..., None]:
        @wraps(function)
        def command(ctx: typer.Context, **given: Any) -> None:
            function(ctx, record(**given))

        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del command.__wrapped__
        return command

    return decorate
