"""Steps of a flow as its function sees them: what is issued, what is awaited, and what ends a run there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol

from hybrid.errors import ForeignAwait
from hybrid.mediator.record import FlowRecord
from hybrid.mediator.waits import Match
from hybrid.messages import Event, Message
from hybrid.policy import RetryPolicy

PAUSE = object()
"""What a step yields to the replay when its result is not there yet. Anything else that is yielded is
foreign."""


class Suspended(BaseException):
    """The run is over for now. Passes through `except Exception` in user code."""


class Anew(BaseException):
    """The flow goes on from its start with another event. Passes through `except Exception` in user code."""

    def __init__(self, event: Event) -> None:
        self.event = event


class NewStep(NamedTuple):
    """A step that this run issued for the first time: its number, kind and name; after what time (ms, 0:
    none) it times out, or fires; of one that sends a message also that, its packed data, and of an event the
    front door by which it comes in, of a command its own retry policy; of what waits to hear an event its
    match. The data of a task is what it asks.
    """

    number: int
    kind: str
    name: str
    timeout: int
    message: Message | None = None
    data: bytes = b""
    front: str = ""
    match: Match | None = None
    retry: RetryPolicy | None = None


def schema_of(message: Message | None) -> int:
    """Return the schema version of a step's message; 1 when it has none."""
    return message.type_version if message else 1


class Replaying(Protocol):
    """What a step needs of the Flow that it is a step of."""

    record: FlowRecord

    def _pause(self, missing: list[int], need: int) -> Generator[object]: ...

    def _result(self, number: int) -> Any: ...

    def _recorded(self, make: Callable[[], Any]) -> Any: ...


class Step:
    """One or more steps under way; awaiting it gives their results. Made by `flow.do`, `all`, `sleep`…"""

    __slots__ = ("_flow", "_numbers", "_single")

    def __init__(self, flow: Replaying, numbers: list[int], single: bool) -> None:
        self._flow = flow
        self._numbers = numbers
        self._single = single

    def __await__(self) -> Generator[object, None, Any]:
        while missing := self.missing():
            yield from self._flow._pause(missing, len(missing))
        return self.given()

    def missing(self) -> list[int]:
        """Return the numbers of those that have no result yet."""
        results = self._flow.record.results
        return [number for number in self._numbers if number not in results]

    def done(self) -> int:
        """Return when (ms) the last of them had its result."""
        return max((self._flow.record.results[number].done for number in self._numbers), default=0)

    def given(self) -> Any:
        """Return what awaiting it gives, when nothing is missing any more; or raise."""
        results = [self._flow._result(number) for number in self._numbers]
        return results[0] if self._single else results


class Race:
    """Several steps, of which the first to have its result is awaited. Made by `flow.race`."""

    __slots__ = ("_flow", "_steps")

    def __init__(self, flow: Replaying, steps: tuple[Step, ...]) -> None:
        self._flow = flow
        self._steps = steps

    def __await__(self) -> Generator[object, None, tuple[int, Any]]:
        while all(missing := [step.missing() for step in self._steps]):
            yield from self._flow._pause(sorted({number for some in missing for number in some}), need=1)
        index = int(self._flow._recorded(self._first))
        return index, self._steps[index].given()

    def _first(self) -> int:
        """Return which one is first. It stands on record: a re-run finds the results of others there, too."""
        return min((step.done(), index) for index, step in enumerate(self._steps) if not step.missing())[1]


def foreign(thing: object) -> ForeignAwait:
    """Return the error for a flow that awaited something else than its steps."""
    what = "asyncio" if thing is None else type(thing).__name__
    return ForeignAwait(
        f"a flow awaited {what}: it may await its own steps only (flow.do, flow.all), since it is run again"
        " from the start; side effects and waiting belong into a processor's handler"
    )
