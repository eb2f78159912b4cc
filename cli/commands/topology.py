"""`hybrid topology`: who handles and who listens to what."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from cli.environment import environment
from cli.output import as_json, out, show
from hybrid.errors import ApplicationError
from hybrid.inspect.wiring import Entrance, Wiring, wiring

EXAMPLES = (
    "Examples:\n\n`hybrid topology`\n\n`hybrid topology --mermaid > topology.mmd`\n\n"
    "`hybrid topology --json | jq '.handlers[] | select(.command)'`"
)


def command(
    ctx: typer.Context,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart.")] = False,
    as_data: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show who handles and who listens to what.

    The front door with its rules, the flows with their commands, the processors, the subscribers, and who
    repairs what fails.
    What a flow sends is read from its code: the commands that it names.
    """
    if mermaid and as_data:
        raise ApplicationError("--mermaid and --json are two formats: choose one")
    app = environment(ctx).application()
    wires = wiring(app.topology)
    if as_data:
        as_json(wires)
    elif mermaid:
        out(chart(wires))
    else:
        show(tree(app.name, wires))


def tree(name: str, wires: Wiring) -> Tree:
    """Return an application as a tree: entrances, flows with their commands, broadcasts with their
    listeners.
    """
    root = Tree(f"[bold]{escape(name)}[/]")
    for entrance in wires.entrances:
        _entrance(root, wires, entrance)
    listening = [handler for handler in wires.handlers if not handler.command]
    if listening:
        branch = root.add("[bold]subscribers[/] (no mediator knows them)")
        for handler in listening:
            _handler(
                branch.add(f"{handler.message} → [cyan]{handler.processor}[/]"),
                wires,
                handler.message,
                handler.processor,
            )
    if wires.hearings:
        branch = root.add("[bold]what flows wait for[/] (the mediator listens)")
        for hearing in wires.hearings:
            branch.add(f"{hearing.event} → [magenta]{hearing.mediator}[/]")
    if wires.repairs:
        branch = root.add("[bold]workflow processors[/] (what fails goes to them first)")
        for repair in wires.repairs:
            branch.add(f"[magenta]{repair.fixer}[/] repairs {repair.message} on {', '.join(repair.errors)}")
    if wires.unhandled:
        root.add(f"[red]commands that nobody handles:[/] {', '.join(wires.unhandled)}")
    if wires.unheard:
        root.add(f"[dim]broadcasts that nobody listens to: {', '.join(wires.unheard)}[/]")
    return root


def _entrance(root: Tree, wires: Wiring, entrance: Entrance) -> None:
    branch = root.add(f"[bold green]{entrance.event}[/] → [magenta]{entrance.front}[/], rule {entrance.rule}")
    for event_class, component in entrance.classes:
        node = branch.add(f"[yellow]{event_class}[/] → [magenta]{component}[/]")
        flow = next(
            (flow for flow in wires.flows if (flow.mediator, flow.event) == (component, entrance.event)), None
        )
        for message in flow.commands if flow else entrance.sends:
            processor = wires.processor_of(message)
            target = f" → [cyan]{processor}[/]" if processor else ""
            listeners = wires.listeners(message)
            _handler(
                node.add(f"{message}{target}" if target or not listeners else message),
                wires,
                message,
                processor,
            )
        if flow and flow.ends:
            node.add(f"[dim]ends with {', '.join(flow.ends)}[/]")


def _handler(node: Tree, wires: Wiring, message: str, processor: str) -> None:
    """Add what a handler broadcasts, and who listens."""
    for handler in wires.handlers:
        if (handler.message, handler.processor) == (message, processor):
            for event in handler.broadcasts:
                listeners = wires.listeners(event)
                heard = f" → [cyan]{', '.join(listeners)}[/]" if listeners else ""
                node.add(f"[dim]broadcasts[/] {event}{heard}")


def chart(wires: Wiring) -> str:
    """Return an application as a Mermaid flowchart: commands as solid arrows, broadcasts as dotted ones."""
    lines = ["flowchart LR"]
    shapes: dict[str, str] = {}
    arrows: list[str] = []
    for entrance in wires.entrances:
        shapes[entrance.event] = f"([{entrance.event}])"
        shapes[entrance.front] = f"{{{{{entrance.front}}}}}"
        arrows.append(f"{_id(entrance.event)} --> {_id(entrance.front)}")
        for event_class, component in entrance.classes:
            if component != entrance.front:
                shapes[component] = f"{{{{{component}}}}}"
                arrows.append(
                    f"{_id(entrance.front)} -- {entrance.event}: {event_class} --> {_id(component)}"
                )
        arrows += [f"{_id(entrance.front)} -- {message} --> {_id(wires.processor_of(message))}"
                   for message in entrance.sends if wires.processor_of(message)]  # fmt: skip
    for flow in wires.flows:
        arrows += [f"{_id(flow.mediator)} -- {command} --> {_id(wires.processor_of(command))}"
                   for command in flow.commands if wires.processor_of(command)]  # fmt: skip
    for handler in wires.handlers:
        shapes[handler.processor] = f"[{handler.processor}]"
        arrows += [f"{_id(handler.processor)} -. {event} .-> {_id(listener)}"
                   for event in handler.broadcasts for listener in wires.listeners(event)]  # fmt: skip
    for repair in wires.repairs:
        shapes[repair.fixer] = f"[/{repair.fixer}/]"
        failing = [each.processor for each in wires.handlers if each.message == repair.message]
        failing += [each.front for each in wires.entrances if each.event == repair.message]
        arrows += [f"{_id(name)} -. {repair.message} failed .-> {_id(repair.fixer)}" for name in failing]
    lines += [f"  {_id(name)}{shape}" for name, shape in shapes.items()]
    return "\n".join([*lines, *(f"  {arrow}" for arrow in dict.fromkeys(arrows))])


def _id(name: str) -> str:
    """Return a name as Mermaid takes it: `end` and others are words of its own."""
    return f"n_{name.replace('-', '_')}"
