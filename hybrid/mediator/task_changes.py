"""What changes a task, as checks and effects of one settle: it is opened, claimed, given to somebody else,
answered; it reminds, goes to somebody else by itself, times out, or is dropped.

A task is in three places: its field of the flow's record, the index of open tasks, and up to three timers on
the schedule. Each of these has one member that never changes; so whatever ends the task takes all away.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from hybrid.broker.outputs import event_output, wake_up
from hybrid.codec import encode, pack
from hybrid.envelope import Envelope
from hybrid.ids import derived_id
from hybrid.keys import Keys
from hybrid.mediator.record import ANSWERED, TIMEOUT, FlowRecord, Result
from hybrid.mediator.task_events import (
    TaskClosed,
    TaskEscalated,
    TaskEvent,
    TaskOpened,
    TaskReassigned,
    TaskReminded,
)
from hybrid.mediator.tasks import CLOSE, ESCALATE, REMIND, Task, indexed, task_id
from hybrid.streams.transitions import (
    Item,
    Transition,
    awaited,
    cancel,
    fire,
    hset,
    overtake,
    result,
    rpush,
    schedule,
    still,
    zadd,
    zrem,
)

TIMED_OUT, DROPPED = "timed out", "dropped"
"""How a task is over that nobody has answered."""
CLAIM, REASSIGN, ANSWER = "claim", "reassign", "answer"
"""What people do to a task, in the flow's history."""
CLOCK = "the clock"
"""Who it is, in the flow's history, when a timer did it."""
_ENOUGH = 1 << 40
"""The facts of a task were checked when it was asked."""


class Asked(NamedTuple):
    """A task that a flow waits for: where it stands, what is asked, when (ms), until when (ms, 0: for ever);
    as whose the mediator broadcasts what becomes of it; the task itself, and as it was read.
    """

    keys: Keys
    flow: str
    run: int
    step: int
    question: str
    asked: int
    due: int
    mediator: str
    correlation: str
    trace: str
    task: Task
    packed: bytes

    @property
    def id(self) -> str:
        """Its id for people."""
        return task_id(self.flow, self.step)

    @property
    def field(self) -> str:
        """Where it stands in the flow's record."""
        return f"task:{self.step}"

    def timer(self, then: str) -> bytes:
        """Return how one of its timers stands in the schedule."""
        return pack([self.flow, self.run, self.step, self.mediator, then])

    def told(self) -> dict[str, Any]:
        """Return what every event about it says."""
        return {
            "task": self.id,
            "flow": self.flow,
            "step": self.step,
            "question": self.question,
            "for_": self.task.for_,
            "about": dict(self.task.about),
            "due": datetime.fromtimestamp(self.due / 1000, UTC) if self.due else None,
        }


class Person(NamedTuple):
    """Who does something to a task, why, and when (ms)."""

    name: str
    why: str
    at: int


def asked_of(keys: Keys, record: FlowRecord, step: int) -> Asked | None:
    """Return the task of a flow's step, None when it asks nobody (any more)."""
    packed, issued = record.tasks.get(step), record.steps.get(step)
    if not packed or not issued or step in record.results or record.ended:
        return None
    task = Task.read(packed)
    if task.dropped:
        return None
    facts, due = record.facts, issued.sent + issued.timeout if issued.timeout else 0
    return Asked(
        keys, record.id, record.run, step, issued.name, issued.sent, due, facts.get("mediator", ""),
        facts.get("corr", record.id), facts.get("trace", ""), task, packed,
    )  # fmt: skip


def task_fields(step: int) -> list[str]:
    """Return the fields of a flow's record that tell its task."""
    numbered = [f"{name}:{step}" for name in ("step", "task", "result")]
    return ["run", "type", "mediator", "corr", "trace", "ended", *numbered]


def opened(asked: Asked) -> list[Item]:
    """Return the effects that put a task before people."""
    keys, task = asked.keys, asked.task
    event = TaskOpened(**asked.told(), choices=list(task.choices))
    effects = [
        hset(keys.flow(asked.flow), [asked.field, asked.packed]),
        zadd(keys.tasks, asked.asked, indexed(asked.flow, asked.run, asked.step)),
        _broadcast(asked, event, asked.asked),
    ]
    if asked.due:
        effects.append(schedule(keys.timers, asked.due - asked.asked, asked.timer(CLOSE)))
    if task.remind:
        effects.append(schedule(keys.timers, task.remind, asked.timer(REMIND)))
    if task.escalate:
        effects.append(schedule(keys.timers, task.escalate[0], asked.timer(ESCALATE)))
    return effects


def withdrawn(asked: Asked, now: int) -> list[Item]:
    """Return the effects by which nobody is asked any more, since the flow is over or waits no more."""
    closed = TaskClosed(**asked.told(), how=DROPPED)
    return [
        _written(asked, asked.task._replace(dropped=now)),
        *_gone(asked),
        _broadcast(asked, closed, now),
    ]


def claimed(asked: Asked, person: Person) -> Transition:
    """Return the transition by which somebody takes a task on: nobody else answers it from now on."""
    task = asked.task._replace(claimed_by=person.name, claimed=person.at)
    return _by_person(asked, CLAIM, person, [_written(asked, task)])


def reassigned(asked: Asked, to: str, person: Person) -> Transition:
    """Return the transition that gives a task to somebody else; who has claimed it, has not any more."""
    was = asked.task
    asked = asked._replace(task=was._replace(for_=to, claimed_by="", claimed=0))
    facts = {"was_for": was.for_, "claimed_by": was.claimed_by, "by": person.name, "why": person.why}
    event = TaskReassigned(**asked.told(), **facts)
    effects = [_written(asked, asked.task), _broadcast(asked, event, person.at)]
    return _by_person(asked, REASSIGN, person, effects, was.for_, to)


def answered(asked: Asked, choice: str, packed: bytes, person: Person) -> Transition:
    """Return the transition that gives the flow its answer (see `packed_answer`)."""
    said = Result(ANSWERED, data=packed, by=person.name, done=person.at)
    closed = TaskClosed(**asked.told(), how=ANSWERED, by=person.name, choice=choice, note=person.why)
    effects = [_result(asked, said), *_gone(asked), _broadcast(asked, closed, person.at)]
    return _by_person(asked, ANSWER, person, effects, choice)


def fired(asked: Asked, then: str, now: int) -> Transition:
    """Return the transition for a timer of a task that has fired. It has no effect, and the timer stays, when
    the task has changed since it was read.
    """
    effects = {CLOSE: _timed_out, REMIND: _reminded, ESCALATE: _escalated}[then](asked, now)
    return Transition(_unchanged(asked), [fire(asked.keys.timers, asked.timer(then))], effects)


def _timed_out(asked: Asked, now: int) -> list[Item]:
    closed = TaskClosed(**asked.told(), how=TIMED_OUT)
    return [_result(asked, Result(TIMEOUT, done=now)), *_gone(asked), _broadcast(asked, closed, now)]


def _reminded(asked: Asked, now: int) -> list[Item]:
    """Return the effects of a reminder; the next one takes its place on the schedule."""
    task = asked.task._replace(reminded=asked.task.reminded + 1)
    event = TaskReminded(**asked.told(), times=task.reminded, claimed_by=task.claimed_by)
    return [
        _written(asked, task),
        schedule(asked.keys.timers, task.remind, asked.timer(REMIND)),
        _broadcast(asked, event, now),
    ]


def _escalated(asked: Asked, now: int) -> list[Item]:
    """Return the effects by which it is for somebody else; who has claimed it, has not any more."""
    was, to = asked.task, asked.task.escalate[1]
    asked = asked._replace(task=was._replace(for_=to, escalate=(), claimed_by="", claimed=0))
    event = TaskEscalated(**asked.told(), was_for=was.for_, claimed_by=was.claimed_by)
    entry = pack([now, ESCALATE, [[CLOCK, "", asked.step, was.for_, to]]])
    return [
        _written(asked, asked.task),
        _broadcast(asked, event, now),
        overtake(asked.keys.flow(asked.flow)),
        rpush(asked.keys.history(asked.flow), entry),
    ]


def _by_person(asked: Asked, deed: str, person: Person, effects: list[Item], *details: str) -> Transition:
    """Return the transition of a person's deed: it is in the flow's history."""
    keys, row = asked.keys, [person.name, person.why, asked.step, *details]
    recorded = [
        overtake(keys.flow(asked.flow)),
        rpush(keys.history(asked.flow), pack([person.at, deed, [row]])),
    ]
    return Transition(_unchanged(asked), (), [*effects, *recorded])


def _unchanged(asked: Asked) -> list[Item]:
    """Return the checks that it still is as it was read: of several who were, one is first."""
    flow = asked.keys.flow(asked.flow)
    return [awaited(flow, asked.run, asked.step), still(flow, asked.field, asked.packed)]


def _written(asked: Asked, task: Task) -> Item:
    return hset(asked.keys.flow(asked.flow), [asked.field, task.packed()])


def _result(asked: Asked, result_: Result) -> Item:
    keys = asked.keys
    wake = wake_up(keys, asked.mediator, asked.flow)
    return result(keys.flow(asked.flow), asked.run, str(asked.step), result_.packed(), wake)


def _gone(asked: Asked) -> list[Item]:
    """Return the effects that take it out of the index, and its timers off the schedule."""
    effects: list[Item] = [zrem(asked.keys.tasks, indexed(asked.flow, asked.run, asked.step))]
    timers = {CLOSE: asked.due, REMIND: asked.task.remind, ESCALATE: asked.task.escalate}
    effects += [cancel(asked.keys.timers, asked.timer(then)) for then, is_set in timers.items() if is_set]
    return effects


def _broadcast(asked: Asked, event: TaskEvent, at: int) -> Item:
    """Return the effect that broadcasts an event about a task. Its id tells it from the ones before."""
    which = asked.timer(event.type_name).hex(), asked.packed.hex(), str(at)
    envelope = Envelope(
        derived_id(*which),
        event.type_name,
        event.type_version,
        asked.correlation,
        asked.flow,
        key=event.message_key(),
        source=asked.mediator,
        trace=asked.trace,
    )
    return event_output(asked.keys, envelope, encode(event, _ENOUGH))
