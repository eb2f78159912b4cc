"""The topology: which components there are, and who handles and who listens to what. Checked as a whole at
start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hybrid.catalog import Catalog
from hybrid.errors import ApplicationError
from hybrid.mediator.classes import SIMPLE, EventClass
from hybrid.mediator.mediator import Mediator
from hybrid.mediator.simple import SimpleMediator
from hybrid.mediator.task_events import TASK_EVENTS
from hybrid.messages import Event, Message
from hybrid.processor import Handler, Processor
from hybrid.workflow import WorkflowProcessor

Component = Processor | Mediator | SimpleMediator | WorkflowProcessor
Repairs = dict[tuple[type[Message], type[BaseException]], Handler]


class Topology:
    """The components of an application. Raises ApplicationError for what does not fit together."""

    def __init__(self, components: Iterable[Component], messages: Iterable[type[Message]] = ()) -> None:
        self.processors: dict[str, Processor] = {}
        self.mediators: dict[str, Mediator] = {}
        self.fronts: dict[str, SimpleMediator] = {}
        self.fixers: dict[str, WorkflowProcessor] = {}
        for component in components:
            self._add(component)
        self._handlers = self._command_handlers()
        self._front_of = self._fronts_by_event()
        self._mediator_of = self._mediators_by_event()
        self._repairs = self._repairs_by_failure()
        self.catalog = Catalog(dict.fromkeys([*messages, *self._mentioned(), *TASK_EVENTS]))
        self._check_classes()

    @property
    def names(self) -> list[str]:
        """The names of all components."""
        return [*self.fronts, *self.mediators, *self.processors, *self.fixers]

    def handler_of(self, command: type[Message]) -> Handler | None:
        """Return the one handler of a command, None when no processor has it."""
        return self._handlers.get(command)

    def listeners(self, event: type[Message]) -> list[Handler]:
        """Return the handlers of processors that listen to an event."""
        return [p.handlers[event] for p in self.processors.values() if event in p.handlers]

    def topics_of(self, component: str) -> list[type[Event]]:
        """Return the events that a component listens to as a group."""
        if component in self.processors:
            return self.processors[component].events
        return self.mediators[component].hears if component in self.mediators else []

    def front_of(self, event: type[Message]) -> SimpleMediator:
        """Return the simple mediator by which an initiating event enters.

        Raises ApplicationError for a message that no simple mediator takes.
        """
        front = self._front_of.get(event)
        if front is None:
            known = ", ".join(sorted(cls.type_name for cls in self._front_of)) or "none"
            raise ApplicationError(f"{event.type_name} is no initiating event; those are: {known}")
        return front

    def mediator_of(self, event: type[Message], event_class: EventClass) -> Mediator | None:
        """Return the mediator for an event of a class, None when there is none."""
        return self._mediator_of.get((event, event_class))

    def repair_of(self, component: str, message: str, error: BaseException) -> Handler | None:
        """Return the function that repairs a message (by its name) that failed with this error in a
        processor, or at a simple mediator; of several the one for the nearest class of error.
        """
        cls = next((cls for cls in self._taken_by(component) if cls.type_name == message), None)
        found = (self._repairs.get((cls, kind)) for kind in type(error).__mro__) if cls else ()
        return next((repair for repair in found if repair), None)

    def repaired_by(self, fixer: WorkflowProcessor) -> list[str]:
        """Return the components whose failures a workflow processor may be given."""
        messages = {message for message, _ in fixer.repaired}
        return [name for name in self.names if not messages.isdisjoint(self._taken_by(name))]

    def _taken_by(self, component: str) -> Iterable[type[Message]]:
        """Return the messages that a component takes one by one; what a flow fails on is on its record."""
        if component in self.fronts:
            return self.fronts[component].events
        return self.processors[component].handlers if component in self.processors else ()

    def initiating(self) -> list[type[Message]]:
        """Return the initiating events."""
        return list(self._front_of)

    def check_order(self, shards: int) -> None:
        """Check that messages whose order is kept stand in one shard together. Raises ApplicationError."""
        ordered = {cls: field for front in self.fronts.values() for cls, field in front.ordered.items()}
        for processor in self.processors.values():
            ordered |= {cls: h.ordered_by for cls, h in processor.handlers.items() if h.ordered_by}
        for cls, field in ordered.items() if shards > 1 else ():
            for other in (cls, *self.initiating()):
                if other.key_field != field:
                    raise ApplicationError(
                        f"the order of {cls.type_name} is kept by {field}, and there are {shards} shards:"
                        f" what has the same {field} must stand in one, and {other.type_name} goes to a shard"
                        f" by its {other.key_field or 'id'}: declare it as"
                        f" class {other.__name__}(…, key={field!r})"
                    )

    def _add(self, component: Component) -> None:
        if component.name in self.names:
            raise ApplicationError(f"two components are called {component.name}")
        kinds: list[tuple[type, dict[str, Any]]] = [
            (Processor, self.processors),
            (Mediator, self.mediators),
            (SimpleMediator, self.fronts),
            (WorkflowProcessor, self.fixers),
        ]
        next(known for kind, known in kinds if isinstance(component, kind))[component.name] = component

    def _command_handlers(self) -> dict[type[Message], Handler]:
        handlers: dict[type[Message], Handler] = {}
        for processor in self.processors.values():
            for command in processor.commands:
                handler = processor.handlers[command]
                other = handlers.setdefault(command, handler)
                if other is not handler:
                    raise ApplicationError(
                        f"{command.__name__} is handled by {other.name} and {handler.name}:"
                        " a command has one processor"
                    )
        return handlers

    def _fronts_by_event(self) -> dict[type[Message], SimpleMediator]:
        fronts: dict[type[Message], SimpleMediator] = {}
        for front in self.fronts.values():
            for event in front.events:
                other = fronts.setdefault(event, front)
                if other is not front:
                    raise ApplicationError(
                        f"{event.__name__} enters by both {other.name} and {front.name}; choose one"
                    )
        return fronts

    def _mediators_by_event(self) -> dict[tuple[type[Message], EventClass], Mediator]:
        found: dict[tuple[type[Message], EventClass], Mediator] = {}
        for mediator in self.mediators.values():
            for event in mediator.flows:
                for event_class in mediator.handles:
                    other = found.setdefault((event, event_class), mediator)
                    if other is not mediator:
                        raise ApplicationError(
                            f"{event.__name__} of class {event_class.value} has two mediators:"
                            f" {other.name} and {mediator.name}"
                        )
        return found

    def _repairs_by_failure(self) -> Repairs:
        repairs: Repairs = {}
        for fixer in self.fixers.values():
            for (message, error), repair in fixer.repaired.items():
                other = repairs.setdefault((message, error), repair)
                if other is not repair:
                    raise ApplicationError(
                        f"{message.__name__} that failed with {error.__name__} is repaired by both"
                        f" {other.name} and {repair.name}; choose one"
                    )
        return repairs

    def _check_classes(self) -> None:
        """Check that each class that a rule may give has somebody to carry it out."""
        for front in self.fronts.values():
            for event in front.events:
                rule = front.rule_for(event)
                for event_class in rule.classes:
                    if event_class is SIMPLE and event not in front.handlers:
                        raise ApplicationError(
                            f"rule {rule.name} of {front.name} may call {event.__name__} simple, but there"
                            f" is no @{front.name}.on({event.__name__}) to handle it"
                        )
                    if event_class is not SIMPLE and (event, event_class) not in self._mediator_of:
                        raise ApplicationError(
                            f"rule {rule.name} of {front.name} may call {event.__name__} {event_class.value},"
                            f" but no mediator handles {event_class.name} with a flow for it"
                        )

    def _mentioned(self) -> list[type[Message]]:
        """Return all message classes that components mention, or that stand in the modules of their
        functions.
        """
        functions: list[Any] = []
        found: list[type[Message]] = []
        for processor in self.processors.values():
            for handler in processor.handlers.values():
                functions.append(handler.function)
                found += [handler.message, *handler.replies()]
        for mediator in self.mediators.values():
            functions += [function for versions in mediator.flows.values() for function in versions.values()]
            found += [*mediator.flows, *mediator.ends(), *mediator.hears]
        for front in self.fronts.values():
            functions += [*front.handlers.values(), *(rule.function for rule in front.rules.values())]
            found += front.events
        for fixer in self.fixers.values():
            functions += [repair.function for repair in fixer.functions.values()]
            found += [message for message, _ in fixer.repaired]
        for function in functions:
            found += [cls for cls in function.__globals__.values() if message_class(cls)]
        return found


def message_class(thing: Any) -> bool:
    """Tell whether something is a message class of an application, which can be sent."""
    return isinstance(thing, type) and issubclass(thing, Message) and thing.__module__ != Message.__module__
