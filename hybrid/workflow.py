"""Workflow processors: programs that mend what has failed and send it back, without a person (the workflow
event pattern of Richards and Ford, *Fundamentals of Software Architecture*).

    fixer = WorkflowProcessor("trade-repair")

    @fixer.repairs(PlaceTrade, on=ValueError)
    def strip(failed: Failed[PlaceTrade]) -> PlaceTrade | Discard | None: ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, get_args

from pydantic import ValidationError

from hybrid.envelope import Envelope
from hybrid.errors import ApplicationError, InvalidMessage
from hybrid.messages import Message
from hybrid.policy import RetryPolicy
from hybrid.processor import Handler, checked_name, message_classes

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound=Message)

TIMEOUT = 30.0
"""How long a repair may take at most, in seconds, unless its function says otherwise."""


@dataclass(frozen=True, slots=True)
class Failed(Generic[M]):
    """A delivery that failed, as a repair function is given it."""

    message: M | None
    """The message; None when its data does not validate, or is no data at all."""
    fields: dict[str, Any] = field(repr=False)
    """Its data as it came, secrets too; empty when the bytes can't be decoded."""
    data: bytes = field(repr=False)
    envelope: Envelope
    error: str
    """The exception's class, with its module unless that is Python's or Hybrid's."""
    reason: str
    """What the exception says."""
    handler: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Discard:
    """What a repair function returns to give a message up: its flow sees CommandFailed, with the reason."""

    reason: str


class WorkflowProcessor:
    """A named component with functions that repair what fails in processors."""

    def __init__(self, name: str) -> None:
        self.name = checked_name(name)
        self.functions: dict[str, Handler] = {}
        """The repair functions, by name."""
        self.repaired: dict[tuple[type[Message], type[BaseException]], Handler] = {}
        """What it repairs: a class of message that failed with a class of exception."""

    def repairs(self, message: Any, *, on: Any = Exception, timeout: float = TIMEOUT) -> Callable[[F], F]:
        """Register a repair function for a Command or Event class that failed with an exception class (unions
        of them; of exceptions a tuple, too). A message that does not validate has failed with a
        ValidationError.

        The function (`async def`, or `def`, in a thread) takes a Failed and, by annotation, resources. It
        returns the mended message, of the same class; Discard, to give it up; or None when it can't tell. Of
        functions of several exception classes the one for the nearest is called. What it raises, or that it
        takes longer than `timeout` seconds, is noted, and the message waits for a person.

        Raises ApplicationError for what is no such class, or has a function already.
        """

        def register(function: F) -> F:
            classes, errors = message_classes(message), error_classes(on)
            retry = RetryPolicy(attempts=1)
            handler = Handler(self.name, classes[0], function, timeout=timeout, retry=retry)
            if handler.name in self.functions:
                raise ApplicationError(f"{self.name} has two repair functions called {function.__name__}")
            self.functions[handler.name] = handler
            for pair in [(cls, error) for cls in classes for error in errors]:
                if pair in self.repaired:
                    raise ApplicationError(
                        f"{self.name} has two repair functions for {pair[0].__name__} on {pair[1].__name__}"
                    )
                self.repaired[pair] = handler
            return function

        return register

    def __repr__(self) -> str:
        return f"WorkflowProcessor({self.name!r})"


def error_classes(on: Any) -> list[type[BaseException]]:
    """Return the exception classes of a class, a union or a tuple of them; with pydantic's ValidationError
    also the error that says it of a message. Raises ApplicationError for anything else.
    """
    classes = list(on) if isinstance(on, tuple) else list(get_args(on)) or [on]
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Exception)):
            raise ApplicationError(f"on={cls!r} is no class of exceptions")
    if ValidationError in classes:
        classes.append(InvalidMessage)
    return list(dict.fromkeys(classes))
