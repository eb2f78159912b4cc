"""Processors: named components whose handlers do the work.

A processor's name is its consumer group on topics. It knows messages, and neither mediators nor other
processors.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from hybrid.context import Context
from hybrid.errors import ApplicationError
from hybrid.messages import Command, Event, Message
from hybrid.policy import RetryPolicy
from hybrid.positions import BEGINNING, Start, checked

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
    start: Start = BEGINNING
    """For an event: where a new group begins. An existing one stays where it is."""
    ordered_by: str | None = None
    """The field whose value is the key: deliveries of one key run one after the other, as they were sent."""
    every_instance: bool = False
    """For an event: each process that runs it gets each one from now on, at most once, without a group."""

    @property
    def name(self) -> str:
        """The handler's name in ids, logs and errors."""
        return f"{self.component}.{self.function.__name__}"

    @property
    def is_async(self) -> bool:
        """Whether it runs on the event loop (`async def`) or in a thread (`def`)."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def wants_context(self) -> bool:
        """Whether it asks for a Context. Raises ApplicationError as `parameters` does."""
        return any(kind is Context for _, kind in self.parameters())

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
        ordered_by: str | None = None,
        start: Start | None = None,
        every_instance: bool = False,
    ) -> Callable[[F], F]:
        """Register a handler for a Command or Event class, or a union of them.

        The handler takes the message and, by annotation, a Context and resources. The one message it
        returns is broadcast and, for a command, the acknowledgement too; None acknowledges with nothing.
        `timeout` is in seconds. With `ordered_by`, the name of a field, deliveries with the same value there
        run one after the other in the order in which they were sent, in any number of processes; when one
        fails, those behind it are held until it is done, discarded, or they are released by hand.

        Of an event: `start` is where a new group begins: "beginning" (all that the topic still keeps; the
        default), "now", a datetime with a time zone, a timedelta (so long ago), or the id of an entry.
        With `every_instance` each process that runs the handler gets each event from when it started, as for
        a cache: at most once, without a group, retries or failures; it returns None and publishes nothing.
        """

        def register(function: F) -> F:
            for cls in message_classes(message):
                if cls in self.handlers:
                    raise ApplicationError(f"{self.name} has two handlers for {cls.__name__}")
                handler = Handler(self.name, cls, function, concurrency, timeout, retry)
                if ordered_by is not None:
                    handler = replace(handler, ordered_by=checked_field(cls, ordered_by, self.name))
                self.handlers[cls] = _with_start(handler, start, every_instance)
            return function

        return register

    @property
    def commands(self) -> list[type[Command]]:
        """The command classes that it handles."""
        return [cls for cls in self.handlers if issubclass(cls, Command)]

    @property
    def events(self) -> list[type[Event]]:
        """The event classes that it listens to as a group; not those that every instance gets."""
        found = [(cls, handler) for cls, handler in self.handlers.items() if not handler.every_instance]
        return [cls for cls, _ in found if issubclass(cls, Event)]

    def __repr__(self) -> str:
        return f"Processor({self.name!r})"


def _with_start(handler: Handler, start: Start | None, every_instance: bool) -> Handler:
    """Return a handler of an event with its start. Raises ApplicationError for what does not go together."""
    who = f"@{handler.component}.on({handler.message.__name__})"
    if start is None and not every_instance:
        return handler
    if issubclass(handler.message, Command):
        what = "every_instance" if every_instance else "start"
        raise ApplicationError(
            f"{who}: {what} is for events. A command is on a queue, and one processor handles it once: leave"
            " it out, or give the events a handler of their own"
        )
    if not every_instance:
        assert start is not None
        return replace(handler, start=checked(start, who))
    if start is not None:
        raise ApplicationError(f"{who}: every instance begins when it starts: leave out start={start!r}")
    if handler.retry != RetryPolicy():
        raise ApplicationError(
            f"{who}: what every instance gets comes once and is not tried again: leave out retry=…"
        )
    if handler.ordered_by is not None:
        raise ApplicationError(
            f"{who}: every instance gets each event as it comes: leave out ordered_by={handler.ordered_by!r}"
        )
    return replace(handler, every_instance=True)


def checked_field(message: type[Message], field: str, component: str) -> str:
    """Return the name of a field to order by. Raises ApplicationError when the message has no such field."""
    if field not in message.model_fields:
        known = ", ".join(message.model_fields) or "none"
        raise ApplicationError(
            f"@{component}.on({message.__name__}): ordered_by={field!r} is not one of its fields: {known}"
        )
    return field


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
