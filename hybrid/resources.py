"""Resources: what an application opens at start, hands to handlers by type, and closes at the end.

    @resource
    def database(settings: Settings) -> Iterator[Engine]:
        engine = create_engine(...)
        yield engine
        engine.dispose()

A handler that has a parameter annotated `Engine` is given it. A resource may itself take Settings and other
resources. Functions that `return` instead of `yield`, and async ones, do too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, get_args, get_origin, get_type_hints

from hybrid.errors import ApplicationError


class Resource:
    """A function that opens (and, after its yield, closes) something that handlers need."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = function.__name__

    @property
    def type(self) -> Any:
        """The type by which handlers ask for it."""
        annotation = get_type_hints(self.function).get("return")
        if annotation is None:
            raise ApplicationError(
                f"resource {self.name} does not say what it gives: annotate what it returns"
            )
        if inspect.isgeneratorfunction(self.function) or inspect.isasyncgenfunction(self.function):
            return get_args(annotation)[0]
        return annotation

    def needs(self) -> list[tuple[str, Any]]:
        """Return the (parameter, type) pairs that it takes."""
        hints = get_type_hints(self.function)
        names = list(inspect.signature(self.function).parameters)
        if bare := [name for name in names if name not in hints]:
            raise ApplicationError(
                f"resource {self.name}: {bare[0]} has no annotation to tell what to hand it"
            )
        return [(name, hints[name]) for name in names]

    async def open(self, stack: AsyncExitStack, values: dict[str, Any]) -> Any:
        """Open it; what follows its yield runs when the stack closes."""
        function = self.function
        if inspect.isasyncgenfunction(function):
            return await stack.enter_async_context(asynccontextmanager(function)(**values))
        if inspect.isgeneratorfunction(function):
            return stack.enter_context(contextmanager(function)(**values))
        made = function(**values)
        return await made if inspect.isawaitable(made) else made


def resource(function: Callable[..., Any]) -> Resource:
    """Make a function a resource of the application."""
    return Resource(function)


async def open_resources(
    resources: list[Resource], given: dict[Any, Any], stack: AsyncExitStack
) -> dict[Any, Any]:
    """Open resources in the order in which they need each other; return them by type, `given` ones among
    them.

    Raises ApplicationError when one needs what nobody gives, or two give the same type.
    """
    opened, left = dict(given), list(resources)
    while left:
        ready = [r for r in left if all(kind in opened for _, kind in r.needs())]
        if not ready:
            missing = next(kind for _, kind in left[0].needs() if kind not in opened)
            raise ApplicationError(
                f"resource {left[0].name} needs {shown_type(missing)}, which no resource gives"
            )
        for r in ready:
            if r.type in opened:
                raise ApplicationError(
                    f"two resources give {shown_type(r.type)}: handlers could not tell them apart"
                )
            opened[r.type] = await r.open(stack, {name: opened[kind] for name, kind in r.needs()})
            left.remove(r)
    return opened


def shown_type(kind: Any) -> str:
    """Return a type's name as people write it."""
    return kind.__name__ if isinstance(kind, type) and get_origin(kind) is None else str(kind)
