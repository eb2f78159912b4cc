"""The advance: turns what a run of a flow led to into checks and effects of one settle."""

from __future__ import annotations

from typing import Any, NamedTuple
from zlib import crc32

from hybrid.broker.failures import error_note
from hybrid.broker.outputs import command_output, event_output, wake_up
from hybrid.codec import encode, pack
from hybrid.envelope import Envelope
from hybrid.ids import command_id, derived_id
from hybrid.keys import Keys
from hybrid.mediator.flow import NewStep
from hybrid.mediator.record import (
    COMMAND,
    FAILED,
    FIRED,
    RUNNING,
    SIGNAL,
    TASK,
    TIMEOUT,
    TIMER,
    FlowRecord,
    Issued,
)
from hybrid.mediator.replay import Progress
from hybrid.mediator.task_changes import Asked, asked_of, dropped, opened
from hybrid.mediator.tasks import Task
from hybrid.messages import Command
from hybrid.streams.transitions import (
    Awaited,
    Item,
    Signalled,
    Wake,
    add,
    await_results,
    cancel,
    expect,
    hdel,
    hset,
    rpush,
    schedule,
    version,
    zadd,
    zrem,
)


class Place(NamedTuple):
    """Where and when an advance happens: the shard's keys, the mediator's name, the time (ms), the largest
    message (bytes).
    """

    keys: Keys
    mediator: str
    now: int
    max_bytes: int


def timeout_member(flow: str, run: int, step: int, mediator: str, then: str = TIMEOUT) -> bytes:
    """Return how a step's timeout stands in the schedule; the same when it is set and when it is
    cancelled. `then`: the kind of result that the step has when it fires.
    """
    return pack([flow, run, step, mediator, *([then] if then != TIMEOUT else ())])


def advance(
    place: Place, record: FlowRecord, envelope: Envelope, progress: Progress
) -> tuple[list[Item], list[Item]]:
    """Return the checks and the effects that put a flow's progress on record.

    `envelope` is the initiating event's. Everything goes by the record's version: if somebody else advanced
    the flow meanwhile, the check fails, nothing is written, and the caller loads it again.
    """
    key = place.keys.flow(record.id)
    fields: list[Any] = ["version", str(record.version + 1), "state", progress.state]
    fields += ["code", record.facts["code"]]
    effects: list[Item] = []
    if record.version == 0:
        fields += _first(place, record, envelope)
        effects.append(zadd(place.keys.flows, place.now, record.id))
    for number, value in progress.values.items():
        fields += [f"value:{number}", pack(value)]
    for number, step in issued(progress, place.now).items():
        fields += [f"step:{number}", step.packed()]
    for new in progress.issued:
        effects += _set_off(place, record, envelope, new, progress.state)
    if progress.state == FAILED:
        fields += ["error", error_note(progress.error) if progress.error else ""]
    elif "error" in record.facts:
        effects.append(hdel(key, "error"))
    if progress.state not in (RUNNING, FAILED):
        fields += ["ended", str(place.now)]
        effects += _ended(place, record, envelope, progress, fields)
    if progress.state == RUNNING:
        wake = wake_up(place.keys, place.mediator, record.id)
        effects.append(await_results(key, fields, _awaited(record, progress), progress.need, wake))
        effects += [_expected(place, record, s, wake) for s in progress.issued if s.kind == SIGNAL]
    else:
        effects.append(hset(key, fields))
        ending = ["flow", record.id, "state", progress.state, "class", envelope.class_]
        effects.append(add(place.keys.outcomes, "", ending))
    entry = [place.now, progress.state, [[s.number, s.name] for s in progress.issued]]
    effects.append(rpush(place.keys.history(record.id), pack(entry)))
    return [version(key, record.version)], effects


def _awaited(record: FlowRecord, progress: Progress) -> Awaited:
    """Return the steps that a flow waits for from now on."""
    sent = {step.number for step in progress.issued}
    waiting = set(progress.waiting)
    return Awaited(sorted(waiting & sent), sorted(waiting - sent), sorted(record.waits - waiting))


def _first(place: Place, record: FlowRecord, envelope: Envelope) -> list[Any]:
    """Return what the record says of the initiating event, written once."""
    facts = {
        "type": envelope.type,
        "schema": str(envelope.version),
        "class": envelope.class_,
        "rule": envelope.rule,
        "reason": envelope.reason,
        "key": envelope.key,
        "corr": envelope.correlation or envelope.id,
        "trace": envelope.trace,
        "mediator": place.mediator,
        "run": "1",
        "sent": str(envelope.time),
        "started": str(place.now),
        "event": record.event,
    }
    return [item for pair in facts.items() if pair[1] for item in pair]


def issued(progress: Progress, now: int) -> dict[int, Issued]:
    """Return the steps that a run has issued, as they stand on record."""
    return {
        step.number: Issued(step.name, crc32(step.data), now, step.timeout, step.kind)
        for step in progress.issued
    }


def _set_off(place: Place, record: FlowRecord, envelope: Envelope, step: NewStep, state: str) -> list[Item]:
    """Return the effects that send a step's command, if it has one, and that wake the flow when its time is
    over. Nobody wakes one that has ended.
    """
    if step.kind == TASK:
        return opened(_asked(place, record, envelope, step)) if state == RUNNING else []
    effects = [_sent(place, record, envelope, step, step.command)] if step.command else []
    if step.timeout if step.command else (step.timeout or step.kind == TIMER) and state == RUNNING:
        member = _member(place, record, step.number, step.kind)
        effects.append(schedule(place.keys.timers, step.timeout, member))
    return effects


def _asked(place: Place, record: FlowRecord, envelope: Envelope, step: NewStep) -> Asked:
    """Return the task that a step is."""
    packed = record.tasks[step.number]
    return Asked(
        place.keys, record.id, record.run, step.number, step.name, place.now,
        place.now + step.timeout if step.timeout else 0, place.mediator,
        envelope.correlation or envelope.id, envelope.trace, Task.read(packed), packed,
    )  # fmt: skip


def _member(place: Place, record: FlowRecord, number: int, kind: str) -> bytes:
    then = FIRED if kind == TIMER else TIMEOUT
    return timeout_member(record.id, record.run, number, place.mediator, then)


def _sent(place: Place, record: FlowRecord, envelope: Envelope, step: NewStep, command: Command) -> Item:
    """Return the effect that sends a step's command."""
    out = Envelope(
        command_id(record.id, record.run, step.number),
        command.type_name,
        command.type_version,
        envelope.correlation or envelope.id,
        envelope.id,
        "",
        command.message_key(),
        0,
        place.mediator,
        envelope.trace,
        1,
        place.now + step.timeout if step.timeout else 0,
        record.id,
        record.run,
        step.number,
        place.mediator,
    )
    return command_output(place.keys, out, step.data)


def _ended(
    place: Place, record: FlowRecord, envelope: Envelope, progress: Progress, fields: list[Any]
) -> list[Item]:
    """Return the effects of an end: off the list of unfinished flows, no timers, and its event broadcast."""
    effects: list[Item] = [zrem(place.keys.flows, record.id), *_cancelled(place, record)]
    event = progress.event
    if event is None:
        return effects
    data = encode(event, place.max_bytes)
    fields += ["outcome", pack([event.type_name, event.type_version, data])]
    if not progress.is_news:
        return effects
    out = Envelope(
        derived_id(record.id, place.mediator, "end", str(record.run)),
        event.type_name,
        event.type_version,
        envelope.correlation or envelope.id,
        envelope.id,
        key=event.message_key(),
        source=place.mediator,
        trace=envelope.trace,
    )
    return [*effects, event_output(place.keys, out, data)]


def _expected(place: Place, record: FlowRecord, step: NewStep, wake: Wake) -> Item:
    """Return the effect by which a step waits for its signal."""
    at = Signalled(place.keys.flow(record.id), place.keys.timers, step.name)
    timer = _member(place, record, step.number, step.kind) if step.timeout else b""
    return expect(at, step.number, timer, wake)


def _cancelled(place: Place, record: FlowRecord) -> list[Item]:
    """Return the effects that take the timers of a flow that is over off the schedule, and its tasks from
    people. Those of commands go when these are acknowledged.
    """
    effects: list[Item] = []
    for number, step in record.steps.items():
        if step.kind == COMMAND or number in record.results:
            continue
        if step.kind != TASK:
            effects.append(cancel(place.keys.timers, _member(place, record, number, step.kind)))
        elif asked := asked_of(place.keys, record, number):
            effects += dropped(asked, place.now)
    return effects
