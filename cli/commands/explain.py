"""`hybrid explain`: what would happen to an event, and why. Sends nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from cli import completion
from cli.commands.send import read
from cli.environment import environment
from cli.output import as_json, compact, show
from hybrid.codec import encode, shown
from hybrid.envelope import Envelope
from hybrid.inspect.wiring import named_in
from hybrid.mediator.classes import SIMPLE, EventClass
from hybrid.mediator.flow import Flow
from hybrid.mediator.mediator import Mediator
from hybrid.mediator.record import CANCEL_ON, WAIT, FlowRecord
from hybrid.mediator.replay import replay
from hybrid.mediator.steps import NewStep
from hybrid.mediator.surroundings import Surroundings
from hybrid.messages import Command, Event, Message, kebab
from hybrid.topology import Topology

EXAMPLES = (
    "Examples:\n\n`hybrid explain place-order`: the rule, and the classes that it may give\n\n"
    '`hybrid explain place-order --data "$(cat order.json)"`: this very order'
)
NOW = 1_700_000_000_000
_LISTENS = {WAIT: "waits for", CANCEL_ON: "is cancelled on"}


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that is sent first: its name, its data, and who gets it."""

    message: str
    to: tuple[str, ...]
    data: Any


@dataclass(frozen=True, slots=True)
class Path:
    """What happens to an event of one class: who carries it out, and what is sent first.

    Of a class without an event: what the flow's code names.
    """

    event_class: str
    component: str
    flow: str
    version: int
    first: tuple[Sent, ...]
    waits: tuple[str, ...] = ()
    """What it listens to, in words."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which class, by which rule, why, which path; without a verdict the paths that there are."""

    event: str
    front: str
    rule: str
    event_class: str
    reason: str
    paths: tuple[Path, ...]


def command(
    ctx: typer.Context,
    type: Annotated[
        str, typer.Argument(metavar="TYPE", help="The event's name.", autocompletion=completion.initiating)
    ],
    words: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Its fields.")] = None,
    data: Annotated[str | None, typer.Option(help="Its fields, as a JSON object.")] = None,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what would happen to an event, and why. Sends nothing.

    Which class it is given, by which rule, for which reason, and which path it takes.
    Without fields: the rule, and the paths of all classes that it may give.
    """
    env = environment(ctx)
    topology = env.application().topology
    cls = topology.catalog.named(kebab(type))
    topology.front_of(cls)
    general = not words and data is None and any(field.is_required() for field in cls.model_fields.values())
    event = None if general else read(env, type, words or [], data)
    explanation = explain(topology, cls, event)
    if as_data:
        as_json(explanation)
    else:
        show(tree(explanation))


def explain(topology: Topology, cls: type[Message], event: Event | None) -> Explanation:
    """Explain an event, or without one its class."""
    front = topology.front_of(cls)
    rule = front.rule_for(cls)
    if event is None:
        paths = tuple(_path(topology, cls, event_class, None) for event_class in rule.classes)
        return Explanation(cls.type_name, front.name, rule.name, "", "", paths)
    verdict = rule.verdict(event)
    path = _path(topology, cls, verdict.event_class, event)
    return Explanation(
        cls.type_name, front.name, rule.name, verdict.event_class.value, verdict.reason, (path,)
    )


def tree(explanation: Explanation) -> Tree:
    """Return an explanation as a tree."""
    because = f": {escape(explanation.reason)}" if explanation.reason else ""
    verdict = (
        f"[yellow]{explanation.event_class}[/]{because}"
        if explanation.event_class
        else "one of these classes"
    )
    root = Tree(f"[bold green]{explanation.event}[/] enters by [magenta]{explanation.front}[/]")
    told = root.add(f"rule [bold]{explanation.rule}[/] gives {verdict}")
    for path in explanation.paths:
        way = f"flow {path.flow}, version {path.version}" if path.flow else "handled at once, without a flow"
        branch = told.add(f"[yellow]{path.event_class}[/] → [magenta]{path.component}[/] ({way})")
        for sent in path.first:
            to = f" → [cyan]{', '.join(sent.to)}[/]" if sent.to else " [dim](to nobody)[/]"
            branch.add(f"{sent.message}{to} [dim]{escape(compact(sent.data))}[/]")
        for event in path.waits:
            branch.add(escape(event))
        if path.flow and (path.first or path.waits) and explanation.event_class:
            branch.add("[dim]… and what follows from the answers[/]")
    return root


def _path(topology: Topology, cls: type[Message], event_class: EventClass, event: Event | None) -> Path:
    mediator = topology.mediator_of(cls, event_class)
    if mediator is None:
        front = topology.front_of(cls)
        first = front.handle(event) if event is not None and event_class is SIMPLE else []
        return Path(
            event_class.value, front.name, "", 0, tuple(_sent(topology, message) for message in first)
        )
    version = mediator.newest(cls)
    function = mediator.flows[cls][version]
    waits: tuple[str, ...] = ()
    if event is not None:
        steps = _first_steps(topology, mediator, event)
        sent = tuple(_sent(topology, s.message) for s in steps if isinstance(s.message, Command))
        waits = tuple(f"{_LISTENS[step.kind]} {step.name}" for step in steps if step.kind in _LISTENS)
    else:
        sent = tuple(_named(topology, name) for name in named_in(function, Command))
    return Path(event_class.value, mediator.name, function.__name__, version, sent, waits)


def _first_steps(topology: Topology, mediator: Mediator, event: Event) -> list[NewStep]:
    """Run a flow to where it waits first; a flow's function has no effects but what it issues."""
    cls = type(event)
    data = encode(event, 1 << 30)
    envelope = Envelope("explained", event.type_name, key=event.message_key(), time=NOW)
    record = FlowRecord("explained", {"code": str(mediator.newest(cls))}, event=data)
    surroundings = Surroundings(
        topology.catalog, 1 << 30, NOW, lambda cls: topology.front_of(cls).name, mediator.hears
    )
    flow = Flow(record, envelope, surroundings)
    return replay(mediator.flows[cls][mediator.newest(cls)], event, flow).issued


def _named(topology: Topology, name: str) -> Sent:
    """Return a command that a flow's code names, as far as that tells."""
    handler = topology.handler_of(topology.catalog.named(name))
    return Sent(name, (handler.component,) if handler else (), None)


def _sent(topology: Topology, message: Message) -> Sent:
    if isinstance(message, Command):
        handler = topology.handler_of(type(message))
        return Sent(message.type_name, (handler.component,) if handler else (), shown(message))
    heard = [name for name in topology.names if type(message) in topology.topics_of(name)]
    return Sent(message.type_name, tuple(heard), shown(message))
