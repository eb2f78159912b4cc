"""Checking: runs a function again from the record of a flow, and names the first step that differs. Pure:
nothing outside is read or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

from hybrid.broker.failures import error_note
from hybrid.catalog import Catalog
from hybrid.errors import MessageError, NonDeterministicFlow
from hybrid.mediator.flow import Flow
from hybrid.mediator.place import envelope_of
from hybrid.mediator.record import COMPLETED, REFUSED, RUNNING, UNDO, FlowRecord
from hybrid.mediator.replay import Progress, replay
from hybrid.mediator.surroundings import Surroundings
from hybrid.messages import Event, Message

MASKED = "masked"
"""The fact of a record in which secrets are masked: what commands and its outcome carry can't be compared."""
_UNLIMITED = 1 << 62


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a function does something else than the record says: at which step, what it did there, and what
    it does now. A flow's end, and its waiting, stand as the step after its last one; 0 is its start.
    """

    step: int
    was: str
    now: str

    def __str__(self) -> str:
        where = f"step {self.step}" if self.step else "at its start"
        return f"{where}: was {self.was}, is now {self.now}"


def differs(
    function: Callable[..., Coroutine[Any, Any, Any]], record: FlowRecord, catalog: Catalog
) -> Difference | None:
    """Return where a function first does something else than a recorded flow has done; None when it fits.

    A flow that completed or was refused must end so again, with the same event, and one that waits must
    wait, both without doing anything that is not on record. Where results have come that nobody has taken
    yet, or a person has to look, or the flow was cancelled, it must do what is on record, and may go on.
    """
    try:
        event = catalog.decode(record.facts.get("type", ""), record.event, record.schema)
    except MessageError as error:
        return Difference(0, "begun", error_note(error))
    steps = {number: step for number, step in record.steps.items() if step.kind != UNDO}
    copy = replace(
        record,
        steps=steps,
        values=dict(record.values),
        patches=dict(record.patches),
        undos=dict(record.undos),
        tasks=dict(record.tasks),
    )
    surroundings = Surroundings(catalog, _UNLIMITED, int(record.facts.get("started", 0)), lambda event: "")
    flow = _Watched(copy, envelope_of(record), surroundings)
    try:
        progress = replay(function, event, flow)  # type: ignore[arg-type]
    except TypeError as error:  # it does not take an event and a flow
        return Difference(0, "begun", error_note(error))
    return flow.difference or _missing(flow, progress) or _beyond(record, flow, progress, catalog)


class _Watched(Flow):
    """A flow that notes where it leaves its record first, whatever the function makes of it."""

    difference: Difference | None = None

    def _issue(
        self,
        kind: str,
        name: str,
        timeout: int,
        message: Message | None = None,
        data: bytes = b"",
        front: str = "",
    ) -> int:
        number = self._steps + 1
        recorded = self.record.steps.get(number)
        if recorded and MASKED in self.record.facts:
            self.record.steps[number] = recorded._replace(checksum=crc32(data))
        try:
            return super()._issue(kind, name, timeout, message, data, front)
        except NonDeterministicFlow as error:
            self.difference = self.difference or Difference(number, error.recorded, error.issued)
            raise

    def _is_new_ground(self) -> bool:
        return False  # whatever is done here was done before

    @property
    def made(self) -> tuple[int, int]:
        """How many steps it has done, and values it has taken."""
        return self._steps, self._values


def _missing(flow: _Watched, progress: Progress) -> Difference | None:
    """Return the first step on record that a function does not do any more."""
    steps, _ = flow.made
    if steps >= len(flow.record.steps):
        return None
    return Difference(steps + 1, flow.record.steps[steps + 1].label, _led_to(progress))


def _beyond(record: FlowRecord, flow: _Watched, progress: Progress, catalog: Catalog) -> Difference | None:
    """Return what a function does beyond what is on record."""
    steps, values = flow.made
    if not _is_at_rest(record):
        return None
    if flow.new_steps:
        new = flow.new_steps[0]
        return Difference(new.number, _stands(record), new.name)
    if values != len(record.values):
        was = f"{len(record.values)} values of flow.now, random, uuid and race"
        return Difference(steps + 1, was, f"{values} of them")
    if progress.state != record.state:
        return Difference(steps + 1, _stands(record), _led_to(progress))
    return _other_end(record, steps + 1, progress.event, catalog)


def _is_at_rest(record: FlowRecord) -> bool:
    """Tell whether a flow has done all that it does with what is on record: it is over, or waits for more."""
    if record.ended:
        return record.state in (COMPLETED, REFUSED)
    waits = bool(record.waits) and int(record.facts.get("need", 0)) > 0
    return waits and record.state == RUNNING and not record.asked


def _other_end(record: FlowRecord, step: int, event: Event | None, catalog: Catalog) -> Difference | None:
    """Return in what the event with which a flow ends differs."""
    name, schema, data = record.outcome or ("", 0, b"")
    now = event.type_name if event else ""
    if name != now:
        return Difference(
            step, f"{record.state} with {name or 'nothing'}", f"{record.state} with {now or 'nothing'}"
        )
    if not event or MASKED in record.facts:
        return None
    try:
        same = catalog.decode(name, data, schema) == event
    except MessageError:
        same = False
    return (
        None
        if same
        else Difference(step, f"{record.state} with {name}", f"{record.state} with another {name}")
    )


def _stands(record: FlowRecord) -> str:
    """Return in words where a flow at rest stands."""
    if record.ended:
        return record.state
    waits = [record.steps[number].label for number in sorted(record.waits) if number in record.steps]
    return f"waiting for {', '.join(waits)}"


def _led_to(progress: Progress) -> str:
    """Return in words what a run led to."""
    if progress.error is not None:
        return error_note(progress.error)
    if progress.anew:
        return "begun anew"
    return "waiting" if progress.state == RUNNING else progress.state
