"""Processors: named components whose handlers do the work.

A processor's name is its consumer group on topics. It knows messages, and neither mediators nor other
processors.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from hybrid.errors import ApplicationError
from hybrid.messages import Command, Event, Message
from hybrid.policy import RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])

_NAME = re.compile(r"[a-z][a-z0-9-]{0,59}")


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that handles one class of message for one processor."""

    component: str
    message: type[Message]
    function: Callable[..., Any]
    concurrency: int | None = None
    """Deliveries at the same time in one process; None for the setting's."""
    timeout: float | None = None
    """Longest run of one delivery, in seconds; None for no limit."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def name(self) -> str:
        """The handler's name in ids, logs and errors."""
        return f"{self.component}.{self.function.__name__}"

    @property
    def is_async(self) -> bool:
        """Whether it runs on the event loop (`async def`) or in a thread (`def`)."""
        return inspect.iscoroutinefunction(self.function)

    def parameters(self) -> list[tuple[str, Any]]:
        """Return what the handler takes beside the message: (name, annotation) each.

        Raises ApplicationError for a parameter without annotation, or with one that can't be read.
        """
        names = list(inspect.signature(self.function).parameters)
        try:
            hints = get_type_hints(self.function)
        except NameError as error:
            raise ApplicationError(
                f"{self.name}: {error}; what annotates a handler's parameters is imported when it runs, not"
                " under TYPE_CHECKING"
            ) from error
        if not names:
            raise ApplicationError(
                f"{self.name} takes no message: its first parameter is the {self.message.__name__}"
            )
        missing = [name for name in names[1:] if name not in hints]
        if missing:
            raise ApplicationError(f"{self.name}: {missing[0]} has no annotation to tell what to hand it")
        return [(name, hints[name]) for name in names[1:]]

    def replies(self) -> list[type[Message]]:
        """Return the message classes that its annotation says it returns."""
        try:
            annotation = get_type_hints(self.function).get("return")
        except NameError:
            return []
        return [cls for cls in get_args(annotation) or (annotation,) if _is_message(cls)]


class Processor:
    """A named component with handlers for commands and events."""

    def __init__(self, name: str) -> None:
        self.name = checked_name(name)
        self.handlers: dict[type[Message], Handler] = {}

    def on(
        self,
        message: Any,
        *,
        concurrency: int | None = None,
        timeout: float | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008
    ) -> Callable[[F], F]:
        """Register a handler for a Command or Event class, or a union of them.

        The handler takes the message and, by annotation, a Context and resources. The one message it
        returns is broadcast and, for a command, the acknowledgement too; None acknowledges with nothing.
        `timeout` is in seconds.
        """

        def register(function: F) -> F:
            for cls in message_classes(message):
                if cls in self.handlers:
                    raise ApplicationError(f"{self.name} has two handlers for {cls.__name__}")
                self.handlers[cls] = Handler(self.name, cls, function, concurrency, timeout, retry)
            return function

        return register

    @property
    def commands(self) -> list[type[Command]]:
        """The command classes that it handles."""
        return [cls for cls in self.handlers if issubclass(cls, Command)]

    @property
    def events(self) -> list[type[Event]]:
        """The event classes that it listens to."""
        return [cls for cls in self.handlers if issubclass(cls, Event)]

    def __repr__(self) -> str:
        return f"Processor({self.name!r})"


def checked_name(name: str) -> str:
    """Return a component's name. Raises ApplicationError when it is not kebab-case."""
    if not _NAME.fullmatch(name):
        raise ApplicationError(
            f"{name!r} is no name for a component: a-z, 0-9 and -, a letter first, 60 at most"
        )
    return name


def message_classes(message: Any) -> list[type[Message]]:
    """Return the classes of a class or a union of them. Raises ApplicationError for anything else."""
    classes = list(get_args(message)) if isinstance(message, UnionType) else [message]
    for cls in classes:
        if not _is_message(cls):
            raise ApplicationError(f"{cls!r} is no Command or Event class")
    return classes


def _is_message(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Command | Event) and cls not in (Command, Event)
