"""Why a flow does not go on: of each that has not ended, what it waits for."""

from __future__ import annotations

from typing import NamedTuple

from hybrid.ids import child_id
from hybrid.inspect.tasks import asks
from hybrid.mediator.record import (
    CHILD,
    COMMAND,
    IN_REPAIR,
    SIGNAL,
    TASK,
    TIMER,
    UNDO,
    WAIT,
    FlowRecord,
    Issued,
)
from hybrid.topology import Topology

_WHAT = {SIGNAL: "the signal", WAIT: "the event", CHILD: "its child"}


class Reason(NamedTuple):
    """One reason why a flow does not go on: its step (0: the flow itself), and until when (ms) at the most; 0
    for ever.
    """

    step: int
    text: str
    until: int = 0


def reasons(record: FlowRecord, topology: Topology) -> tuple[Reason, ...]:
    """Return why a flow does not go on: at least one reason, of a flow that has not ended."""
    if record.ended:
        return ()
    found: list[Reason] = []
    if record.paused:
        rule = record.paused.rule.replace(":", " ", 1)
        found.append(Reason(0, f"it is paused{f' with all flows of {rule}' if rule else ''} {record.paused}"))
    if error := record.facts.get("error"):
        found.append(Reason(0, f"it waits at the desk: {error}"))
    for number in sorted(record.waits | record.stuck.keys()):
        if step := record.steps.get(number):
            until = step.sent + step.timeout if step.timeout else 0
            found.append(Reason(number, _why(topology, record, number, step), until))
    wake = f"a wake-up for it is on its way to {record.facts.get('mediator', 'its mediator')}"
    return tuple(found or [Reason(0, wake)])


def _why(topology: Topology, record: FlowRecord, number: int, step: Issued) -> str:
    stuck = record.stuck.get(number, "")
    if stuck:
        return f"{step.label} {'is' if stuck.startswith(IN_REPAIR) else 'waits at the desk:'} {stuck}"
    if step.kind == TIMER:
        return "it sleeps"
    if step.kind == TASK:
        return f"it waits for {asks(record, number)} to answer: {step.name}"
    if step.kind == WAIT:
        return f"it waits to hear {step.name}"
    if step.kind in (COMMAND, UNDO):
        return f"it waits for {_processor(topology, step.name)} to do {step.name}"
    child = f" ({child_id(record.id, record.run, number)})" if step.kind == CHILD else ""
    what = _WHAT.get(step.kind, step.kind)
    return f"it waits for {what} {step.name}{child}"


def _processor(topology: Topology, type: str) -> str:
    known = topology.catalog.named(type) if type in topology.catalog else None
    handler = topology.handler_of(known) if known else None
    return handler.component if handler else "somebody (no processor of this application handles it)"
