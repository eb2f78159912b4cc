"""The replay: runs a flow's function from its record and says what it wants next. Pure: it reads and
changes nothing outside.
"""

from __future__ import annotations

from asyncio import CancelledError, events
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hybrid.broker.failures import error_note
from hybrid.errors import (
    ApplicationError,
    ChildFailed,
    CommandFailed,
    FlowError,
    HybridError,
    Promote,
    Refused,
    StepTimeout,
)
from hybrid.mediator.classes import EventClass
from hybrid.mediator.flow import Flow
from hybrid.mediator.record import (
    COMPLETED,
    FAILED,
    PROMOTED,
    REFUSED,
    RUNNING,
    Compensation,
    Ending,
)
from hybrid.mediator.steps import PAUSE, Anew, NewStep, Suspended, foreign
from hybrid.messages import Event


@dataclass(slots=True)
class Progress:
    """What a run of a flow led to. While `state` is running: what it issued newly, and what it waits for."""

    state: str
    issued: list[NewStep] = field(default_factory=list)
    values: dict[int, tuple[Any, int]] = field(default_factory=dict)
    undos: dict[int, Compensation] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    need: int = 0
    """How many of those it waits for must have their result before it goes on."""
    patches: dict[str, tuple[bool, int]] = field(default_factory=dict)
    event: Event | None = None
    """What a completed or refused flow ended with."""
    ending: Ending | None = None
    """How it ends, when it does."""
    anew: tuple[int, bytes] | None = None
    """The schema version and the data of the event with which it begins anew."""
    error: BaseException | None = None
    """Why it waits for a person."""


class Run:
    """A run of a flow's function: from its start to where it waits, and on from there while it is kept."""

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]], event: Event, flow: Flow) -> None:
        self.function = function
        self.flow = flow
        self._coroutine = function(event, flow)

    def go_on(self) -> Progress:
        """Run until the function ends or waits. It must have been given the results that it waits for."""
        progress = self._go_on()
        unread = self.flow.unread
        return Progress(FAILED, error=unread) if unread else progress

    def _go_on(self) -> Progress:
        flow, running = self.flow, events._get_running_loop()
        events._set_running_loop(None)  # whatever asks for the loop (gather, create_task, sleep) is refused
        try:
            return _paused(self._coroutine.send(None), flow)
        except StopIteration as stop:
            return _over(COMPLETED, flow, stop.value)
        except Anew as anew:
            return _begun_anew(flow, anew.event)
        except Suspended:
            swallowed = FlowError("a flow swallowed the end of its run: it caught BaseException")
            return Progress(FAILED, error=swallowed)
        except (CancelledError, GeneratorExit) as error:
            return Progress(FAILED, error=FlowError(f"a flow raised {type(error).__name__}"))
        except Exception as error:
            return _raised(flow, error)
        finally:
            events._set_running_loop(running)

    def close(self) -> None:
        """End the run where it waits. What its `finally` blocks do then does not count."""
        self.flow.closed = True
        running = events._get_running_loop()
        events._set_running_loop(None)
        try:
            # RuntimeError, when it awaits in a `finally` and so ignores the end
            with suppress(Suspended, Exception):
                self._coroutine.close()
        finally:
            events._set_running_loop(running)


def replay(function: Callable[..., Coroutine[Any, Any, Any]], event: Event, flow: Flow) -> Progress:
    """Run a flow's function on its event until it ends or waits."""
    run = Run(function, event, flow)
    progress = run.go_on()
    run.close()
    return progress


def _paused(waits: object, flow: Flow) -> Progress:
    if waits is not PAUSE:
        return Progress(FAILED, error=foreign(waits))
    return Progress(
        RUNNING, flow.new_steps, flow.new_values, flow.new_undos, flow.waiting, flow.need, flow.new_patches
    )


def _raised(flow: Flow, error: Exception) -> Progress:
    match error:
        case Refused():
            return _over(REFUSED, flow, error.event)
        case Promote():
            return _promoted(flow, error)
        case StepTimeout() | CommandFailed() | ChildFailed() if flow.record.undos:
            return _ended(flow, Ending(FAILED, why=error_note(error)))
    no_loop = "no running event loop" in str(error)
    return Progress(FAILED, error=foreign(None) if no_loop else error)


def _promoted(flow: Flow, to: Promote) -> Progress:
    try:
        verdict = EventClass(to.event_class).value
    except ValueError:
        wrong = f"raise Promote takes HARD or COMPLEX, and why, not {to.event_class!r}"
        return Progress(FAILED, error=ApplicationError(wrong[:200]))
    return _ended(flow, Ending(PROMOTED, why=str(to.reason), event_class=verdict))


def _over(state: str, flow: Flow, event: object) -> Progress:
    if event is None:
        return _ended(flow, Ending(state))
    if not isinstance(event, Event):
        what = type(event).__name__
        return Progress(
            FAILED, error=FlowError(f"a flow ended with a {what}: it ends with an Event, or nothing")
        )
    try:
        data = flow.packed(event)
    except HybridError as error:
        return Progress(FAILED, error=error)
    said = event.type_name, event.type_version, data, event.message_key()
    return _ended(flow, Ending(state, said, is_news=not flow.brought(event)), event)


def _ended(flow: Flow, ending: Ending, event: Event | None = None) -> Progress:
    return Progress(
        ending.state,
        flow.new_steps,
        flow.new_values,
        flow.new_undos,
        patches=flow.new_patches,
        event=event,
        ending=ending,
    )


def _begun_anew(flow: Flow, event: object) -> Progress:
    if not isinstance(event, Event) or event.type_name != flow.envelope.type:
        what = type(event).__name__
        wrong = f"flow.continue_as_new takes an event of its own class ({flow.envelope.type}), not a {what}"
        return Progress(FAILED, error=ApplicationError(wrong))
    try:
        return Progress(RUNNING, flow.new_steps, anew=(event.type_version, flow.packed(event)))
    except HybridError as error:
        return Progress(FAILED, error=error)
