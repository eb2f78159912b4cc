"""Mediators: they know the steps of flows, and nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args, get_type_hints

from hybrid.errors import ApplicationError
from hybrid.mediator.classes import EventClass
from hybrid.messages import Event, Message
from hybrid.processor import checked_name, message_classes

F = TypeVar("F", bound=Callable[..., Any])


class Mediator:
    """Carries out flows for the classes of events that it handles."""

    def __init__(self, name: str, *, handles: EventClass | Sequence[EventClass]) -> None:
        self.name = checked_name(name)
        self.handles = (handles,) if isinstance(handles, EventClass) else tuple(handles)
        self.flows: dict[type[Message], dict[int, Callable[..., Any]]] = {}
        self.hears: list[type[Event]] = []
        """The events that its flows may wait for: it listens to them, as a group."""

    def flow(self, message: Any, *, version: int = 1, hears: Any = ()) -> Callable[[F], F]:
        """Register the steps for an initiating event: an `async def` that takes the event and a Flow.

        The event that it returns is its outcome, and is broadcast (unless a step has brought it: then it was
        already). It is run again from the start whenever results have come, so it depends on nothing but
        its event, the results and what the Flow gives. A change that issues other commands needs a new
        version; keep the old function registered as long as flows run on it.

        `hears` is what it waits for with `flow.wait`: an event class, a union of them, or a list.
        """
        heard = self._heard(hears)

        def register(function: F) -> F:
            if not inspect.iscoroutinefunction(function):
                raise ApplicationError(f"{self.name}: the flow {function.__name__} is not `async def`")
            for cls in message_classes(message):
                versions = self.flows.setdefault(cls, {})
                if version in versions:
                    raise ApplicationError(f"{self.name} has two flows for {cls.__name__}, version {version}")
                versions[version] = function
            self.hears += [cls for cls in heard if cls not in self.hears]
            return function

        return register

    def _heard(self, hears: Any) -> list[type[Event]]:
        """Return event classes, given as one, a union or a list. May raise ApplicationError."""
        given = hears if isinstance(hears, list | tuple) else [hears]
        found: list[type[Event]] = []
        for cls in (cls for each in given for cls in message_classes(each)):
            if not issubclass(cls, Event):
                raise ApplicationError(
                    f"{self.name}: hears={cls.__name__} is no Event: flows wait for what is broadcast"
                )
            found.append(cls)
        return found

    def newest(self, cls: type[Message]) -> int:
        """Return the newest version of the flow for a class of events: the one that new flows start on."""
        return max(self.flows[cls])

    def ends(self) -> list[type[Message]]:
        """Return the event classes that the annotations say its flows end with."""
        found: list[type[Message]] = []
        for versions in self.flows.values():
            for function in versions.values():
                try:
                    annotation = get_type_hints(function).get("return")
                except NameError:
                    continue
                for cls in get_args(annotation) or (annotation,):
                    if isinstance(cls, type) and issubclass(cls, Event):
                        found.append(cls)
        return found

    def __repr__(self) -> str:
        return f"Mediator({self.name!r})"
