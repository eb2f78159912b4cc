"""The simple mediator: the front door of every initiating event.

It classifies by pure, named rules. What is simple it handles itself, in one settle and without state; the
rest goes to the mediator that is registered for the event's type and class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hybrid.errors import ApplicationError, HandlerError
from hybrid.mediator.classes import SIMPLE, EventClass, Verdict
from hybrid.messages import Command, Event, Message
from hybrid.processor import checked_field, checked_name, message_classes

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Rule:
    """A pure function that gives an event its class, and the classes that it may give."""

    function: Callable[[Any], EventClass | Verdict]
    classes: tuple[EventClass, ...]

    @property
    def name(self) -> str:
        """The rule's name, recorded with each event that it classified."""
        return self.function.__name__

    def verdict(self, event: Event) -> Verdict:
        """Return the event's class and the reason. Raises HandlerError for a class that was not declared."""
        given = self.function(event)
        verdict = given if isinstance(given, Verdict) else Verdict(given)
        if verdict.event_class not in self.classes:
            declared = ", ".join(cls.name for cls in self.classes)
            raise HandlerError(f"rule {self.name} gave {given!r}, it declares {declared}")
        return Verdict(EventClass(verdict.event_class), verdict.reason)  # "hard" is as good as HARD


class SimpleMediator:
    """The front door: classifies initiating events, handles simple ones, delegates the others."""

    def __init__(self, name: str) -> None:
        self.name = checked_name(name)
        self.handlers: dict[type[Message], Callable[[Any], Any]] = {}
        self.rules: dict[type[Message], Rule] = {}
        self.ordered: dict[type[Message], str] = {}
        """The field by which events of a class keep their order on the way through."""

    def on(self, message: Any, *, ordered_by: str | None = None) -> Callable[[F], F]:
        """Register what a simple event leads to: a pure function that returns the messages to send.

        It returns a list (or one, or None) of commands, each sent to its queue, and events, each broadcast.
        With `ordered_by`, the name of a field, events with the same value there go through one after the
        other, in the order in which they were sent.
        """

        def register(function: F) -> F:
            for cls in self._initiating(message):
                if cls in self.handlers:
                    raise ApplicationError(f"{self.name} handles {cls.__name__} twice")
                self.handlers[cls] = function
                if ordered_by is not None:
                    self.ordered[cls] = checked_field(cls, ordered_by, self.name)
            return function

        return register

    def classify(self, message: Any, *classes: EventClass) -> Callable[[F], F]:
        """Register a pure rule for an event class, with the classes that it may give."""
        if not classes:
            raise ApplicationError(
                f"{self.name}: a rule declares the classes that it may give, as HARD, COMPLEX"
            )

        def register(function: F) -> F:
            for cls in self._initiating(message):
                if cls in self.rules:
                    raise ApplicationError(f"{self.name} has two rules for {cls.__name__}")
                self.rules[cls] = Rule(function, classes)
            return function

        return register

    @property
    def events(self) -> list[type[Message]]:
        """The initiating events that enter here."""
        return list(dict.fromkeys([*self.rules, *self.handlers]))

    def rule_for(self, cls: type[Message]) -> Rule:
        """Return the rule for a class of events; one without a rule of its own is simple."""
        return self.rules.get(cls) or Rule(_simple(self.handlers[cls].__name__), (SIMPLE,))

    def handle(self, event: Event) -> Sequence[Message]:
        """Return what a simple event leads to. Raises HandlerError when that is no message."""
        given = self.handlers[type(event)](event)
        messages = [] if given is None else [given] if isinstance(given, Message) else list(given)
        for message in messages:
            if not isinstance(message, Command | Event):
                raise HandlerError(
                    f"{self.name}: {type(event).__name__} led to a {type(message).__name__}, no message"
                )
        return messages

    def _initiating(self, message: Any) -> list[type[Message]]:
        classes = message_classes(message)
        for cls in classes:
            if not issubclass(cls, Event):
                raise ApplicationError(
                    f"{self.name}: {cls.__name__} is no Event; only events enter a simple mediator"
                )
        return classes

    def __repr__(self) -> str:
        return f"SimpleMediator({self.name!r})"


def _simple(name: str) -> Callable[[Any], EventClass]:
    def always(event: Any) -> EventClass:
        return SIMPLE

    always.__name__ = name
    return always
