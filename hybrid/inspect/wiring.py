"""The wiring: who handles and who listens to what, as an application declares it. Reads no Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from hybrid.mediator.task_events import TASK_EVENTS
from hybrid.messages import Command, Event, Message
from hybrid.processor import Processor
from hybrid.topology import Topology, message_class


@dataclass(frozen=True, slots=True)
class Entrance:
    """An initiating event: the simple mediator that takes it, its rule, and for each class who carries it
    out.
    """

    event: str
    front: str
    rule: str
    classes: tuple[tuple[str, str], ...]
    """Pairs (class, component): the simple mediator itself for simple."""
    sends: tuple[str, ...]
    """What it leads to when it is simple, as far as the function names it."""


@dataclass(frozen=True, slots=True)
class FlowWiring:
    """A mediator's flow: its event, the versions it has, and the commands that its function names."""

    mediator: str
    event: str
    versions: tuple[int, ...]
    commands: tuple[str, ...]
    ends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HandlerWiring:
    """A handler: its processor, what it handles, and what its annotation and its code say it broadcasts."""

    processor: str
    message: str
    command: bool
    broadcasts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HearingWiring:
    """A mediator, and an event that its flows may wait for."""

    mediator: str
    event: str


@dataclass(frozen=True, slots=True)
class RepairWiring:
    """A repair function: its workflow processor, the message that it mends, and the errors, by name, on which
    it does.
    """

    fixer: str
    function: str
    message: str
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wiring:
    """A whole application."""

    entrances: tuple[Entrance, ...]
    flows: tuple[FlowWiring, ...]
    handlers: tuple[HandlerWiring, ...]
    repairs: tuple[RepairWiring, ...]
    unhandled: tuple[str, ...]
    """Commands that no processor handles."""
    unheard: tuple[str, ...]
    """Events that nobody listens to. That is no fault."""
    hearings: tuple[HearingWiring, ...] = ()

    def listeners(self, event: str) -> list[str]:
        """Return the processors that listen to an event, and the mediators whose flows may wait for it."""
        found = [handler.processor for handler in self.handlers if handler.message == event]
        return found + [hearing.mediator for hearing in self.hearings if hearing.event == event]

    def processor_of(self, command: str) -> str:
        """Return the processor of a command, "" when nobody handles it."""
        return next((handler.processor for handler in self.handlers if handler.message == command), "")


def wiring(topology: Topology) -> Wiring:
    """Return an application's wiring."""
    handlers = tuple(_handlers(topology.processors.values()))
    hearings = tuple(
        HearingWiring(name, event.type_name)
        for name, mediator in topology.mediators.items()
        for event in mediator.hears
    )
    handled = {handler.message for handler in handlers}
    heard = handled | {hearing.event for hearing in hearings}
    entering = {cls.type_name for cls in topology.initiating()}
    commands = [cls.type_name for cls in topology.catalog if issubclass(cls, Command)]
    own = [cls for cls in topology.catalog if cls not in TASK_EVENTS]
    events = [cls.type_name for cls in own if issubclass(cls, Event)]
    return Wiring(
        tuple(_entrances(topology)),
        tuple(_flows(topology)),
        handlers,
        tuple(_repairs(topology)),
        tuple(sorted(name for name in commands if name not in handled)),
        tuple(sorted(name for name in events if name not in heard and name not in entering)),
        hearings,
    )


def named_in(function: Callable[..., Any], kind: type[Message]) -> list[str]:
    """Return the message classes of a kind that a function's code names, and the functions of its module that
    it calls.
    """
    return list(dict.fromkeys(cls.type_name for cls in _classes(function, {}) if issubclass(cls, kind)))


def _classes(function: Any, seen: dict[int, bool]) -> Iterator[type[Message]]:
    if not isinstance(function, FunctionType) or seen.setdefault(id(function), False):
        return
    seen[id(function)] = True
    for name in _names(function.__code__):
        thing = function.__globals__.get(name)
        if message_class(thing):
            yield thing  # type: ignore[misc]
        elif isinstance(thing, FunctionType) and thing.__module__ == function.__module__:
            yield from _classes(thing, seen)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _entrances(topology: Topology) -> Iterator[Entrance]:
    for front in topology.fronts.values():
        for event in front.events:
            rule = front.rule_for(event)
            classes = []
            for event_class in rule.classes:
                mediator = topology.mediator_of(event, event_class)
                classes.append((event_class.value, mediator.name if mediator else front.name))
            handler = front.handlers.get(event)
            sends = (
                [name for name in named_in(handler, Message) if name != event.type_name] if handler else []
            )
            yield Entrance(event.type_name, front.name, rule.name, tuple(classes), tuple(sends))


def _flows(topology: Topology) -> Iterator[FlowWiring]:
    for mediator in topology.mediators.values():
        for event, versions in mediator.flows.items():
            newest = versions[max(versions)]
            waited = [cls.type_name for cls in mediator.hears]
            ends = [name for name in named_in(newest, Event) if name not in (event.type_name, *waited)]
            commands = tuple(named_in(newest, Command))
            yield FlowWiring(
                mediator.name, event.type_name, tuple(sorted(versions)), commands, _ends(topology, ends)
            )


def _ends(topology: Topology, events: Iterable[str]) -> tuple[str, ...]:
    """Leave out the replies of processors, which a flow names to tell them apart."""
    replies = {
        cls.type_name
        for p in topology.processors.values()
        for h in p.handlers.values()
        for cls in h.replies()
    }
    return tuple(event for event in events if event not in replies)


def _repairs(topology: Topology) -> Iterator[RepairWiring]:
    for fixer in topology.fixers.values():
        found: dict[tuple[str, str], list[str]] = {}
        for (message, error), repair in fixer.repaired.items():
            found.setdefault((repair.name, message.type_name), []).append(error.__name__)
        for (function, name), errors in found.items():
            yield RepairWiring(fixer.name, function, name, tuple(errors))


def _handlers(processors: Iterable[Processor]) -> Iterator[HandlerWiring]:
    for processor in processors:
        for cls, handler in processor.handlers.items():
            replies = [reply.type_name for reply in handler.replies()]
            own = [mine.type_name for mine in processor.handlers]
            named = [name for name in named_in(handler.function, Event) if name not in own]
            broadcasts = tuple(dict.fromkeys([*replies, *named]))
            yield HandlerWiring(processor.name, cls.type_name, issubclass(cls, Command), broadcasts)
