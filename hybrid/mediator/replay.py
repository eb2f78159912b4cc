"""The replay: runs a flow's function from its record and says what it wants next. Pure: it reads and
changes nothing outside.
"""

from __future__ import annotations

from asyncio import events
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hybrid.errors import FlowError, Refused
from hybrid.mediator.flow import PAUSE, Flow, NewStep, Suspended, foreign
from hybrid.mediator.record import COMPLETED, FAILED, REFUSED, RUNNING
from hybrid.messages import Event


@dataclass(slots=True)
class Progress:
    """What a run of a flow led to. While `state` is running: what it issued newly, and what it waits for."""

    state: str
    issued: list[NewStep] = field(default_factory=list)
    values: dict[int, Any] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    need: int = 0
    """How many of those it waits for must have their result before it goes on."""
    patches: dict[str, bool] = field(default_factory=dict)
    """What was newly answered of patches."""
    event: Event | None = None
    """What a completed or refused flow ended with."""
    is_news: bool = True
    """Whether that event is to be broadcast; one that a step has brought has been already."""
    error: BaseException | None = None
    """Why a failed one failed."""


class Run:
    """A run of a flow's function: from its start to where it waits, and on from there while it is kept."""

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]], event: Event, flow: Flow) -> None:
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
        except Refused as refusal:
            return _over(REFUSED, flow, refusal.event)
        except Suspended:
            swallowed = FlowError("a flow swallowed the end of its run: it caught BaseException")
            return Progress(FAILED, error=swallowed)
        except Exception as error:
            no_loop = "no running event loop" in str(error)
            return Progress(FAILED, error=foreign(None) if no_loop else error)
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
    return Progress(RUNNING, flow.new_steps, flow.new_values, flow.waiting, flow.need, flow.new_patches)


def _over(state: str, flow: Flow, event: object) -> Progress:
    if event is not None and not isinstance(event, Event):
        what = type(event).__name__
        return Progress(
            FAILED, error=FlowError(f"a flow ended with a {what}: it ends with an Event, or nothing")
        )
    steps, values, patches = flow.new_steps, flow.new_values, flow.new_patches
    is_news = not flow.brought(event)
    return Progress(state, steps, values, patches=patches, event=event, is_news=is_news)
