"""The Flow that a mediator's function is given: how it does its steps.

A function is run again from its start whenever results have come (the idea of Temporal's and Azure Durable
Functions' replay). `await flow.do(…)` gives the result at once when it is on record; otherwise the run ends
there, and what it issued newly is sent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NoReturn, Unpack
from uuid import UUID
from zlib import crc32

from pydantic import BaseModel

from hybrid.codec import encode
from hybrid.envelope import Envelope
from hybrid.errors import (
    ApplicationError,
    ChildFailed,
    CommandFailed,
    MessageError,
    NewerMessage,
    NonDeterministicFlow,
    StepTimeout,
    UnknownMessage,
)
from hybrid.ids import child_id, new_id
from hybrid.mediator.answers import read_answer
from hybrid.mediator.patches import checked_patch, is_new_ground
from hybrid.mediator.record import (
    ANSWERED,
    CANCEL_ON,
    CANCELLED,
    CHILD,
    COMMAND,
    FAILED,
    FIRED,
    GIVEN_UP,
    NOTHING,
    REFUSED,
    SIGNAL,
    SIGNALLED,
    TASK,
    TIMEOUT,
    TIMER,
    WAIT,
    Compensation,
    FlowRecord,
    Result,
)
from hybrid.mediator.signals import checked_signal
from hybrid.mediator.steps import PAUSE, Anew, NewStep, Race, Step, Suspended, schema_of
from hybrid.mediator.surroundings import Surroundings
from hybrid.mediator.tasks import LONGEST, Asking, Question
from hybrid.mediator.waits import wanted
from hybrid.messages import Command, Event, Message
from hybrid.policy import RetryPolicy
from hybrid.times import exactly

AT_MOST = 50
"""How many commands of a `flow.map` are under way at once."""


class Flow:
    """One execution of a mediator's workflow, as its function sees it."""

    def __init__(self, record: FlowRecord, envelope: Envelope, surroundings: Surroundings) -> None:
        self.record = record
        self.envelope = envelope
        """The envelope of the initiating event."""
        self.id = record.id
        self.run = record.run
        self.new_steps: list[NewStep] = []
        self.new_values: dict[int, tuple[Any, int]] = {}
        self.new_undos: dict[int, Compensation] = {}
        self.new_patches: dict[str, tuple[bool, int]] = {}
        self.waiting: list[int] = []
        self.need = 0
        self.forms: dict[int, type[BaseModel]] = {}
        """The models of the answers that tasks are for, by step."""
        self._surroundings = surroundings
        self._steps = 0
        self._values = 0
        self._undos = 0
        self._replies: list[object] = []
        self.closed = False
        self.unread: MessageError | None = None
        """Why a result can't be read by this program; one of newer code can."""

    def do(
        self, command: Command, *, timeout: timedelta | float | None = None, retry: RetryPolicy | None = None
    ) -> Step:
        """Send a command; awaiting the step gives the processor's reply (None when it has none).

        `timeout` is a timedelta or seconds; when it passes without an acknowledgement, StepTimeout is
        raised. CommandFailed is raised when the command failed and was given up. Steps may be made first
        and awaited later: their commands run side by side. `retry` says how often this command is tried,
        whatever its handler says.
        """
        return Step(self, [self._send(command, timeout, retry)], single=True)

    def all(
        self,
        *commands: Command,
        timeout: timedelta | float | None = None,
        retry: RetryPolicy | None = None,
    ) -> Step:
        """Send commands side by side; awaiting the step gives the list of their replies, when all have
        come. `timeout` and `retry` are for each, as in `do`.
        """
        return Step(self, [self._send(command, timeout, retry) for command in commands], single=False)

    def sleep(self, duration: timedelta | float) -> Step:
        """Wait for a time: a timedelta or seconds. It stands on record and needs no process meanwhile;
        awaiting it gives None.
        """
        ms = _ms(duration, "sleep")
        return Step(self, [self._issue(TIMER, f"sleep {exactly(ms)}", ms)], single=True)

    def signal(self, name: str, *, timeout: timedelta | float | None = None) -> Step:
        """Wait for a signal from outside (`hybrid flows signal`, `client.signal`); awaiting it gives its
        data, a dict or None.

        Each signal is for one step, first come first taken; it may have come before. `timeout` as in `do`.
        """
        return Step(self, [self._issue(SIGNAL, checked_signal(name), _ms(timeout))], single=True)

    def wait(
        self, event: type[Event], *, match: Mapping[str, Any], timeout: timedelta | float | None = None
    ) -> Step:
        """Wait for an event that somebody broadcasts; awaiting it gives the event.

        It is the first one of this class, broadcast after the wait was made, whose fields equal those of
        `match`. A wait that is made before the command that leads to the event hears it for sure, since both
        go out at once:

            paid = flow.wait(InvoicePaid, match={"order_id": id}, timeout=days(30))
            await flow.do(SendInvoice(order_id=id))
            await paid

        The class must be one that the flow declares: `@mediator.flow(…, hears=InvoicePaid)`. `timeout` as in
        `do`. Raises ApplicationError for a match that can't be.
        """
        return Step(self, [self._listen(WAIT, event, match, timeout)], single=True)

    def cancel_on(self, event: type[Event], *, match: Mapping[str, Any]) -> None:
        """Have an event that somebody broadcasts cancel the flow, with everything undone that it has
        registered, until it ends. Which event, and what it raises: as `wait`.
        """
        self._listen(CANCEL_ON, event, match, None)

    def ask(self, question: str, **how: Unpack[Asking]) -> Step:
        """Ask people (`hybrid tasks`, `client.answer`); awaiting it gives an Answer.

        With `choices` (words) it has the `choice`; with `schema`, a pydantic model, its `data` is one;
        without either somebody has done it. `for_` says who is to answer, `about` which facts they are shown.
        After `timeout` StepTimeout is raised; `remind` is how often they are reminded until then, `escalate`
        after what time it goes to whom: (days(2), "director"). Each is broadcast: TaskOpened, TaskReminded,
        TaskEscalated, TaskReassigned, TaskClosed.
        """
        asked = Question(question, **how)
        task = asked.task(self._surroundings.max_bytes)
        number = self._issue(TASK, question, asked.times_out, data=task.essence)
        self.record.tasks.setdefault(number, task.packed())
        if asked.schema:
            self.forms[number] = asked.schema
        return Step(self, [number], single=True)

    def race(self, *steps: Step) -> Race:
        """Wait for the first of several steps that has a result; awaiting it gives its index and the result.

        The others go on, and may be awaited later. When the first one was not acknowledged in time, or given
        up, that is raised. Which one was first is recorded.
        """
        if not steps or not all(isinstance(step, Step) for step in steps):
            raise ApplicationError("flow.race takes steps, as flow.do(…) and flow.sleep(…) make them")
        return Race(self, steps)

    def child(self, event: Event, *, timeout: timedelta | float | None = None) -> Step:
        """Have another flow done: send an initiating event, which is classified like any other.

        Awaiting the step gives the event that the child ended with (None when it has none, as a simple one).
        ChildFailed is raised when it was refused, cancelled, or failed for good. A child that goes wrong
        waits at the desk, and its parent for it. A child that is awaited is cancelled with its parent.
        `timeout` as in `do`; then the child goes on, whatever becomes of its parent.
        """
        if not isinstance(event, Event):
            raise ApplicationError(f"flow.child takes an initiating Event, got {type(event).__name__}")
        front = self._surroundings.front_of(type(event))
        data = encode(event, self._surroundings.max_bytes)
        return Step(
            self, [self._issue(CHILD, event.type_name, _ms(timeout), event, data, front)], single=True
        )

    def undo(self, command: Command) -> None:
        """Register what makes up for what was done: sent when the flow is refused, cancelled, promoted, or
        ends by a step that failed.

        The commands are sent one after the other, the last registered first, when everything under way has
        ended; each is retried as any command. One that may have to undo what was perhaps not done is
        registered before the step, else after it.
        """
        if not isinstance(command, Command):
            raise ApplicationError(f"flow.undo takes a Command, got {type(command).__name__}")
        self._open()
        self._undos += 1
        data = encode(command, self._surroundings.max_bytes)
        made = Compensation(command.type_name, command.type_version, data, command.message_key(), self._steps)
        recorded = self.record.undos.get(self._undos, made)
        if (recorded.type, recorded.data) != (made.type, data) and "fixed" not in self.record.facts:
            now = made.type + (" with other data" if recorded.type == made.type else "")
            raise NonDeterministicFlow(self.id, self._steps, f"undo {recorded.type}", f"undo {now}")
        if self.record.undos.get(self._undos) != made:
            self.new_undos[self._undos] = self.record.undos[self._undos] = made

    def continue_as_new(self, event: Event) -> NoReturn:
        """Begin anew with another event of the same class, as the same flow and its next run: what is on
        record of this run goes, so that a flow may run for ever.

        What it has registered to be undone goes, too; signals that no step has taken stay.
        """
        raise Anew(event)

    async def map(
        self,
        commands: Iterable[Command],
        *,
        at_most: int = AT_MOST,
        timeout: timedelta | float | None = None,
        retry: RetryPolicy | None = None,
    ) -> list[Any]:
        """Send many commands, `at_most` side by side; give the replies in the order of the commands.

        The next ones are sent when those before have their results, so that a flow is run again once for each
        `at_most` commands, not for each one. `timeout` and `retry` are for each, as in `do`.
        """
        if at_most < 1:
            raise ApplicationError(f"flow.map sends at least 1 command at a time, not {at_most}")
        replies: list[Any] = []
        left = iter(commands)
        while some := list(islice(left, at_most)):
            replies += await self.all(*some, timeout=timeout, retry=retry)
        return replies

    def now(self) -> datetime:
        """Return the time (UTC); recorded, so that a re-run gets the same."""
        return datetime.fromtimestamp(self._recorded(lambda: self._surroundings.now) / 1000, UTC)

    def random(self) -> float:
        """Return a random number from [0, 1); recorded, so that a re-run gets the same."""
        return float(self._recorded(random.random))

    def uuid(self) -> UUID:
        """Return a random UUID; recorded, so that a re-run gets the same."""
        return UUID(self._recorded(lambda: new_id() + new_id()[:8]), version=4)

    def patched(self, name: str) -> bool:
        """Tell whether the change of this name holds in this flow: not when the function repeats here what
        it did without the change. The first answer is recorded and holds for the whole flow.
        """
        self._open()
        patches = self.record.patches
        if checked_patch(name) not in patches:
            patches[name] = self.new_patches[name] = self._is_new_ground(), self._steps
        return patches[name][0]

    def resume(self, now: int) -> None:
        """Forget what is on record by now; the function goes on from where it waits."""
        self.new_steps, self.new_values, self.new_undos, self.new_patches = [], {}, {}, {}
        self.waiting = []
        self._surroundings = self._surroundings._replace(now=now)

    def packed(self, event: Event) -> bytes:
        """Return the data of an event that the flow ends with. Raises MessageTooLarge, InvalidMessage."""
        return encode(event, self._surroundings.max_bytes)

    def brought(self, event: object) -> bool:
        """Tell whether this very event came from a step: then it has been broadcast already."""
        return any(event is reply for reply in self._replies)

    def _recorded(self, make: Callable[[], Any]) -> Any:
        self._open()
        self._values += 1
        number = self._values
        if number not in self.record.values:
            self.record.values[number] = self.new_values[number] = make(), self._steps
        return self.record.values[number][0]

    def _is_new_ground(self) -> bool:
        return is_new_ground(self.record, self._steps, self._values)

    def _send(self, command: Command, timeout: timedelta | float | None, retry: RetryPolicy | None) -> int:
        if not isinstance(command, Command):
            raise ApplicationError(f"flow.do takes a Command, got {type(command).__name__}")
        if not isinstance(retry, RetryPolicy | None):
            raise ApplicationError(f"flow.do: retry is a RetryPolicy, not {retry!r}")
        data = encode(command, self._surroundings.max_bytes)
        number = self._issue(COMMAND, command.type_name, _ms(timeout), command, data)
        self._amend(number, retry=retry)
        return number

    def _listen(self, kind: str, event: Any, match: Any, timeout: timedelta | float | None) -> int:
        """Return the number of a step that waits to hear an event."""
        what = wanted(f"flow.{kind.replace('-', '_')}", event, match, self._surroundings.hears)
        number = self._issue(kind, what.words, _ms(timeout), data=what.values)
        self._amend(number, match=what.match)
        return number

    def _issue(
        self,
        kind: str,
        name: str,
        timeout: int,
        message: Message | None = None,
        data: bytes = b"",
        front: str = "",
    ) -> int:
        """Return the number of a step; issue it unless it is on record. Raises NonDeterministicFlow when that
        says something else.
        """
        self._open()
        self._steps += 1
        number = self._steps
        recorded = self.record.steps.get(number)
        if recorded is None:
            self.new_steps.append(NewStep(number, kind, name, timeout, message, data, front))
        elif (recorded.kind, recorded.name) != (kind, name):
            raise NonDeterministicFlow(self.id, number, recorded.name, name)
        elif recorded.schema == schema_of(message) and recorded.checksum != crc32(data):
            raise NonDeterministicFlow(self.id, number, name, f"{name} with other data")
        return number

    def _amend(self, number: int, **facts: Any) -> None:
        """Say more of a step, if it is new."""
        if self.new_steps and self.new_steps[-1].number == number:
            self.new_steps[-1] = self.new_steps[-1]._replace(**facts)

    def _pause(self, missing: list[int], need: int) -> Generator[object]:
        """End the run until so many of the missing results have come."""
        self.waiting, self.need = missing, need
        yield PAUSE
        if self.waiting:  # somebody goes on by hand
            raise Suspended

    def _result(self, number: int) -> Any:
        result, name = self.record.results[number], self.record.steps[number].label
        if result.kind == TIMEOUT:
            raise StepTimeout(self.id, number, name)
        if result.kind == GIVEN_UP:
            raise CommandFailed(self.id, number, name, result.data.decode())
        if result.kind in (NOTHING, FIRED):
            return None
        if result.kind in (REFUSED, CANCELLED, FAILED):
            event = self._decoded(result) if result.type else None
            child = child_id(self.id, self.run, number)
            raise ChildFailed(child, result.kind, event, "" if event else result.data.decode())
        if result.kind == SIGNALLED:
            return result.said
        if result.kind == ANSWERED:
            return read_answer(self.forms.get(number), result.by, result.data)
        reply = self._decoded(result)
        self._replies.append(reply)
        return reply

    def _decoded(self, result: Result) -> Message:
        """Return the message that a result brings. What only newer code can read ends the run."""
        try:
            return self._surroundings.catalog.decode(result.type, result.data, result.schema)
        except (UnknownMessage, NewerMessage) as error:
            self.unread = error
            raise Suspended from error

    def _open(self) -> None:
        if self.closed:
            raise Suspended


def _ms(time: timedelta | float | None, what: str = "timeout") -> int:
    seconds = time.total_seconds() if isinstance(time, timedelta) else time or 0
    if not 0 <= seconds <= LONGEST:
        raise ApplicationError(f"a {what} of {seconds:g} s is not possible: 0 to ten years are")
    return int(seconds * 1000)
