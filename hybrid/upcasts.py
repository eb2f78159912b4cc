"""Upcasts: functions that make of the data of an older schema version of a message that of the next one.

A version stands in the class line, as `class PlaceOrder(Event, version=2)`, and travels in the envelope. Data
of an older version goes through the upcasts from that version on, wherever it is read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from hybrid.errors import ApplicationError, UndecodableMessage
from hybrid.messages import Message

F = TypeVar("F", bound=Callable[[dict[str, Any]], dict[str, Any]])


def upcast(message: type[Message], version: int) -> Callable[[F], F]:
    """Register a pure function that takes the data of this version of a message as a dict, as it was packed,
    and returns that of the next version.

    Raises ApplicationError for a version that has one already, and for one that is not below the class's.
    """
    _check(message, version)

    def register(function: F) -> F:
        if inspect.iscoroutinefunction(function):
            raise ApplicationError(f"the upcast {function.__name__} is `async def`; it is a plain function")
        known = message.type_upcasts.setdefault(version, function)
        if known is not function:
            raise ApplicationError(
                f"{message.__name__} has two upcasts of version {version}: {known.__qualname__} and"
                f" {function.__qualname__}"
            )
        return function

    return register


def _check(message: Any, version: Any) -> None:
    """Check what an upcast is for."""
    if not (isinstance(message, type) and issubclass(message, Message)):
        raise ApplicationError(f"upcast takes a message class and a version, not {message!r}")
    name, newest = message.__name__, message.type_version
    if type(version) is not int or not 1 <= version < newest:
        which = f"from 1 to {newest - 1}, not {version!r}" if newest > 1 else "below that"
        raise ApplicationError(
            f"{name} is of version {newest}: an upcast is for a version {which}; the version stands in the"
            f" class line, as class {name}(…, version={newest + 1})"
        )


def check_upcasts(message: type[Message]) -> None:
    """Check that the upcasts of a class lead to its version without a gap. Raises ApplicationError."""
    known = message.type_upcasts
    newest = message.type_version
    missing = [n for n in range(min(known, default=newest), newest) if n not in known]
    if missing:
        gap, have = (", ".join(map(str, sorted(some))) for some in (missing, known))
        raise ApplicationError(
            f"{message.__name__} is of version {newest} and has upcasts of version {have}: those of {gap} are"
            f" missing, @upcast({message.__name__}, {missing[0]})"
        )


def upcasted(message: type[Message], version: int, values: Any) -> Any:
    """Return data of an older version as that of the class's version. Raises UndecodableMessage.

    A class without upcasts takes older data as it is: its new fields have defaults.
    """
    steps, name = message.type_upcasts, message.type_name
    if not steps:
        return values
    if version not in steps:
        raise UndecodableMessage(
            f"{name} of version {version} can't be read: upcasts begin at version {min(steps)};"
            f" @upcast({message.__name__}, {version}) is missing"
        )
    for step in range(version, message.type_version):
        function = steps[step]
        try:
            values = function(values)
        except Exception as error:  # a user's function may raise anything
            raise UndecodableMessage(
                f"{function.__name__} can't raise {name} from version {step}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(values, dict):
            raise UndecodableMessage(
                f"{function.__name__} made a {type(values).__name__} of {name}, version {step}; it returns a"
                " dict"
            )
    return values
