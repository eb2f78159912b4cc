"""Every error that Hybrid raises, as one tree.

    HybridError
    ├── ConfigurationError        the program or its settings are wrong; found at start
    │   ├── SettingsError         a setting has an impossible value
    │   ├── ApplicationError      components that do not fit together
    │   │   └── VersionMissing    flows run on versions that this application has not
    │   └── StoreMismatch         the store was made for another number of shards or format
    ├── MessageError              a message that can't be taken
    │   ├── InvalidMessage        does not validate against its model
    │   ├── UnknownMessage        no class of that name
    │   ├── NewerMessage          of a newer schema version, and not readable as the older one
    │   ├── MessageTooLarge       larger than the limit at the door
    │   └── UndecodableMessage    bytes that are no message
    ├── NotRegistered             a component has no function for what came to it
    ├── HandlerError              a handler did what it may not
    │   └── HandlerTimeout        a handler ran past its time limit
    ├── FlowError                 raised inside or about a flow
    │   ├── StepTimeout           a step's acknowledgement did not come in time
    │   ├── CommandFailed         a step's command was given up
    │   ├── NonDeterministicFlow  a re-run issued other commands than recorded
    │   ├── ForeignAwait          a flow awaited something that is not a step
    │   ├── UnknownFlow           no flow of that id
    │   ├── FlowEnded             a signal for a flow that has ended
    │   ├── UnknownTask           no task of that id
    │   ├── TaskTaken             somebody else has claimed the task
    │   ├── TaskOver              the task was answered, timed out, or its flow is over
    │   └── Refused               a business refusal: an outcome, not an error
    ├── WaitTimeout               a flow did not end while the caller waited
    ├── NotSettled                a test's application has something to do still, or a failure
    ├── ScheduleError             a time at which nothing can be sent, or a schedule that can't be
    └── ServerError               Redis, or the embedded server
        └── ServerUnavailable     no connection

Errors carry their facts as fields; the text says what, which, why and what to do.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


class HybridError(Exception):
    """The root of every error that Hybrid raises."""


class ConfigurationError(HybridError):
    """The program or its settings are wrong; always found at start."""


class SettingsError(ConfigurationError):
    """A setting has an impossible value."""


class ApplicationError(ConfigurationError):
    """Components of an application that do not fit together, or an application that can't be found."""


class VersionMissing(ApplicationError):
    """Unfinished flows run on versions of their mediators' flows that the application has not.

    Fields: `missing`, a list of (mediator, event type, version, number of flows, versions that are there).
    """

    def __init__(self, missing: list[tuple[str, str, int, int, list[int]]]) -> None:
        self.missing = missing
        rows = [
            f"{mediator} runs {flows:,} {'flow' if flows == 1 else 'flows'} for {type} on version {code}"
            f" (there is {', '.join(map(str, there)) or 'none'})"
            for mediator, type, code, flows, there in missing
        ]
        super().__init__(
            f"this application lacks versions that unfinished flows need: {'; '.join(rows)}. Register the old"
            " function beside the new one until they have ended, @mediator.flow(…, version=N), or put them on"
            " another version: `hybrid flows restart … --version N`; `hybrid flows versions` shows them all"
        )


class StoreMismatch(ConfigurationError):
    """The store in Redis was created with another format or number of shards than this program has."""


class MessageError(HybridError):
    """A message that can't be taken."""


class InvalidMessage(MessageError):
    """Data that does not validate against its message class.

    Fields: `type` is the message's name; `problems` a list of (field, rule) texts, without any value that
    might be secret.
    """

    def __init__(self, type: str, problems: list[tuple[str, str]]) -> None:
        self.type = type
        self.problems = problems
        lines = "; ".join(f"{field}: {rule}" if field else rule for field, rule in problems)
        super().__init__(f"{type} is not valid: {lines}")


class UnknownMessage(MessageError):
    """No message class has this name.

    Fields: `type`, and `near`, the known names that look like it.
    """

    def __init__(self, type: str, near: list[str]) -> None:
        self.type = type
        self.near = near
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"no message is called {type!r}{hint}")


class NewerMessage(MessageError):
    """A message of a newer schema version than this program knows, which can't be read as the older one.

    Fields: `type`, `version` (the message's), `known` (ours), `problems` as InvalidMessage has them.
    """

    def __init__(self, type: str, version: int, known: int, problems: list[tuple[str, str]]) -> None:
        self.type, self.version, self.known, self.problems = type, version, known, problems
        lines = "; ".join(f"{field}: {rule}" if field else rule for field, rule in problems)
        super().__init__(
            f"{type} is of version {version}, this program knows {known} and can't read it ({lines}): start"
            " programs that have the newer class"
        )


class MessageTooLarge(MessageError):
    """A message whose packed data is over the limit.

    Fields: `type`, `size` and `limit` in bytes.
    """

    def __init__(self, type: str, size: int, limit: int) -> None:
        self.type, self.size, self.limit = type, size, limit
        super().__init__(
            f"{type} has {size:,} bytes, the limit is {limit:,}: store the bulk elsewhere and send a"
            " reference, or raise HYBRID_MAX_MESSAGE_BYTES"
        )


class UndecodableMessage(MessageError):
    """Bytes in a channel that are no message of ours."""


class NotRegistered(HybridError):
    """A component of this program has no function for what came to it: no flow for an event, or not the
    version that a flow runs on, or it is no event that enters there. A program of other code may have it.
    """


class HandlerError(HybridError):
    """A handler did what a handler may not do, as returning something that is no message."""


class HandlerTimeout(HandlerError):
    """A handler ran past its time limit (seconds, in `limit`)."""

    def __init__(self, handler: str, limit: float) -> None:
        self.handler, self.limit = handler, limit
        super().__init__(f"{handler} ran longer than its limit of {limit:g} s")


class FlowError(HybridError):
    """Raised inside a flow, or about one."""


class StepTimeout(FlowError):
    """A step's acknowledgement did not come within its timeout.

    Fields: `flow`, `step` (number) and `command` (the message's name).
    """

    def __init__(self, flow: str, step: int, command: str) -> None:
        self.flow, self.step, self.command = flow, step, command
        super().__init__(f"step {step} ({command}) of flow {flow} was not acknowledged in time")


class CommandFailed(FlowError):
    """A step's command was given up: it failed, and somebody decided that it shall not be tried again."""

    def __init__(self, flow: str, step: int, command: str, reason: str) -> None:
        self.flow, self.step, self.command, self.reason = flow, step, command, reason
        super().__init__(f"step {step} ({command}) of flow {flow} failed: {reason}")


class ChildFailed(FlowError):
    """A child of a flow did not complete.

    Fields: `child` (its id), `state` (refused, cancelled or failed), `event` (what it ended with, or None)
    and `reason`.
    """

    def __init__(self, child: str, state: str, event: Any, reason: str) -> None:
        self.child, self.state, self.event, self.reason = child, state, event, reason
        why = f" with {event!r}" if event is not None else f": {reason}" if reason else ""
        super().__init__(
            f"child {child} was {state}{why}" if state != "failed" else f"child {child} failed{why}"
        )


class NonDeterministicFlow(FlowError):
    """A re-run of a flow issued another command than the one on record for that step."""

    def __init__(self, flow: str, step: int, recorded: str, issued: str) -> None:
        self.flow, self.step, self.recorded, self.issued = flow, step, recorded, issued
        super().__init__(
            f"flow {flow} is not deterministic: step {step} was {recorded} and is now {issued}. A flow may"
            " depend on its event, on results of its steps and on flow.now(), flow.random() and flow.uuid()"
            " only; changed code needs a new version: @mediator.flow(…, version=N)"
        )


class ForeignAwait(FlowError):
    """A flow awaited something that is not a step of it."""


class UnknownFlow(FlowError):
    """No flow has this id: it never existed, or its retention time is over."""

    def __init__(self, flow: str) -> None:
        self.flow = flow
        super().__init__(
            f"no flow {flow}: it has never existed, or it ended and was forgotten (see retention)"
        )


class FlowEnded(FlowError):
    """Nothing more can be done with a flow that has ended. Fields: `flow`, and the `state` in which it
    ended.
    """

    def __init__(self, flow: str, state: str) -> None:
        self.flow, self.state = flow, state
        super().__init__(f"flow {flow} has ended ({state}): nothing more can be done with it")


class DeedRefused(FlowError):
    """What somebody wants to do with a flow can't be done as it stands. Fields: `flow` and `reason`."""

    def __init__(self, flow: str, reason: str) -> None:
        self.flow, self.reason = flow, reason
        super().__init__(f"flow {flow} {reason}")


class Promote(HybridError):
    """Raised by the handler of a simple event, or by a flow, that finds its event to be of another class: the
    mediator for that class carries it out instead. What the flow has registered to be undone is undone first.

    Fields: `event_class` (HARD or COMPLEX) and `reason`.
    """

    def __init__(self, event_class: Any, reason: str) -> None:
        self.event_class, self.reason = event_class, reason
        super().__init__(f"promoted to {event_class}: {reason}")


class UnknownTask(FlowError):
    """No flow asks people this, or ever did."""

    def __init__(self, task: str) -> None:
        self.task = task
        super().__init__(f"no task {task[:130]}: a task's id is FLOW/STEP, as in `hybrid tasks list`")


class TaskTaken(FlowError):
    """Somebody else has claimed a task. Fields: `task`, `by`, and since when (ms, `since`)."""

    def __init__(self, task: str, by: str, since: int) -> None:
        self.task, self.by, self.since = task, by, since
        super().__init__(f"task {task} is claimed by {by}, since {_utc(since)}: take it over, or reassign it")


class TaskOver(FlowError):
    """A task that nobody is asked any more. Fields: `task`; `how`: answered, timed out or dropped; of an
    answer `by` whom, and when (ms, `at`).
    """

    def __init__(self, task: str, how: str, by: str = "", at: int = 0) -> None:
        self.task, self.how, self.by, self.at = task, how, by, at
        who = f" by {by}" if by else ": its flow is over, or asks no more" if how == "dropped" else ""
        was = how if how == "timed out" else f"was {how}"
        super().__init__(f"task {task} {was}{who}" + (f" at {_utc(at)}" if at else ""))


class Refused(FlowError):
    """A business refusal, raised by a flow: an outcome, not an error. Carries the event that tells it."""

    def __init__(self, event: Any) -> None:
        self.event = event
        super().__init__(f"refused: {type(event).__name__}")


class ScheduleError(HybridError):
    """A time at which nothing can be sent, or a schedule that can't be."""


class WaitTimeout(HybridError):
    """A flow did not end while the caller was ready to wait."""

    def __init__(self, flow: str, seconds: float) -> None:
        self.flow, self.seconds = flow, seconds
        super().__init__(
            f"flow {flow} has not ended within {seconds:g} s; it goes on:"
            f" `hybrid flows show {flow}` tells where"
        )


class NotSettled(HybridError):
    """What a test waits for has not come to rest, or something failed in it that it did not expect."""


class ServerError(HybridError):
    """Redis answered with an error, or the embedded server can't be had."""


class ServerUnavailable(ServerError):
    """No connection to Redis."""


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
