"""The advance: turns what a run of a flow led to into checks and effects of one settle."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from hybrid.broker.failures import error_note
from hybrid.broker.outputs import command_output, initiating_output, wake_up
from hybrid.codec import pack
from hybrid.envelope import Envelope
from hybrid.ids import child_id, command_id
from hybrid.mediator.ending import dropped, failed_child, reset, told, towards_end, unchanged
from hybrid.mediator.place import Place, member
from hybrid.mediator.record import (
    CHILD,
    COMMAND,
    FAILED,
    RUNNING,
    SIGNAL,
    TASK,
    TIMER,
    Ending,
    FlowRecord,
    Issued,
)
from hybrid.mediator.replay import Progress
from hybrid.mediator.steps import NewStep, schema_of
from hybrid.mediator.task_changes import Asked, opened
from hybrid.mediator.tasks import Task
from hybrid.mediator.versions import counted_anew
from hybrid.mediator.waits import listener_of, listening
from hybrid.streams.transitions import (
    Awaited,
    Item,
    Signalled,
    Wake,
    add,
    await_results,
    expect,
    hdel,
    hset,
    schedule,
    unlink,
    unpaused,
    version,
    zadd,
)


def advance(
    place: Place, record: FlowRecord, envelope: Envelope, progress: Progress
) -> tuple[list[Item], list[Item]]:
    """Return the checks and the effects that put a flow's progress on record.

    `envelope` is the initiating event's. Everything goes by the record's version: if somebody else advanced
    the flow meanwhile, the check fails, nothing is written, and the caller loads it again. So it does when
    flows of this type or key have been paused.
    """
    keys = place.keys
    key, ending = keys.flow(record.id), progress.ending
    record.facts.setdefault("code", "0")  # no function has run yet, as right after a promotion
    fields: list[Any] = ["version", str(record.version + 1)]
    effects: list[Item] = []
    if not record.begun:
        fields += _first(place, record, envelope)
        effects.append(zadd(keys.flows, place.now, record.id))
    for number, value in progress.values.items():
        fields += [f"value:{number}", pack(value)]
    for name, patch in progress.patches.items():
        fields += [f"patch:{name}", pack(patch)]
    for number, undo in progress.undos.items():
        fields += [f"undo:{number}", pack(tuple(undo))]
    new = issued(progress, place.now)
    for number, step in new.items():
        fields += [f"step:{number}", step.packed()]
    for each in progress.issued:
        effects += _set_off(place, record, envelope, each, ending)
    if progress.anew:
        record.steps |= new
        effects += _anew(place, record, progress.anew, fields)
    elif ending:
        record.steps |= new
        fields += ["code", record.facts["code"]]
        effects += towards_end(place, record, envelope, ending, fields)
    else:
        fields += ["state", progress.state, "code", record.facts["code"]]
        effects += _going_on(place, record, envelope, progress, fields)
    facts = {"mediator": place.mediator, "type": envelope.type}
    code = "" if ending or progress.anew else record.facts["code"]
    effects += counted_anew(keys, record, facts, code)
    rows = [[step.number, step.name] for step in progress.issued]
    effects.append(told(keys, record.id, place.now, ending.state if ending else progress.state, rows))
    checks = [version(key, record.version)]
    if not (record.ending or record.asked):
        checks.append(unpaused(keys.pauses, envelope.type, envelope.key))
    return [*checks, *unchanged(place, record, ending)], effects


def _going_on(
    place: Place, record: FlowRecord, envelope: Envelope, progress: Progress, fields: list[Any]
) -> list[Item]:
    """Return the effects of a run that waits now, or that went wrong and waits for a person."""
    key, effects = place.keys.flow(record.id), list[Item]()
    if progress.error is not None:
        why = error_note(progress.error)
        if envelope.flow and record.begun:
            effects += failed_child(place, envelope, why)
        said = ["flow", record.id, "state", FAILED, "class", envelope.class_]
        effects.append(add(place.keys.outcomes, "", said))
        return [*effects, hset(key, [*fields, "error", why])]
    if "error" in record.facts:
        effects.append(hdel(key, "error"))
    wake = wake_up(place.keys, place.mediator, record.id)
    effects.append(await_results(key, fields, _awaited(record, progress), progress.need, wake))
    effects += [_expected(place, record, step, wake) for step in progress.issued if step.kind == SIGNAL]
    effects += [
        listening(place.keys, place.mediator, step.match, listener_of(record, step.number, step.kind))
        for step in progress.issued
        if step.match
    ]
    return effects


def _anew(place: Place, record: FlowRecord, anew: tuple[int, bytes], fields: list[Any]) -> list[Item]:
    """Return the effects by which a flow begins anew with another event. What came of its steps goes, and so
    do signals that they have taken, and its history: it may run for ever.
    """
    key, (schema, event) = place.keys.flow(record.id), anew
    fields += ["state", RUNNING, "event", event, "schema", str(schema), "run", str(record.run + 1)]
    taken = [f"signal:{id}" for id, signal in record.signals.items() if signal is None]
    return [
        *dropped(place, record),
        await_results(key, fields, Awaited(), 0, wake_up(place.keys, place.mediator, record.id)),
        hdel(key, "code", *reset(record), *taken),
        unlink(place.keys.history(record.id)),
    ]


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
        "parent": pack([envelope.flow, envelope.run, envelope.step, envelope.reply]) if envelope.flow else "",
        "sent": str(envelope.time),
        "started": str(place.now),
        "event": record.event,
    }
    return [item for pair in facts.items() if pair[1] for item in pair]


def issued(progress: Progress, now: int) -> dict[int, Issued]:
    """Return the steps that a run has issued, as they stand on record."""
    return {
        step.number: Issued(
            step.name, crc32(step.data), now, step.timeout, step.kind, schema_of(step.message), step.match
        )
        for step in progress.issued
    }


def _set_off(
    place: Place, record: FlowRecord, envelope: Envelope, step: NewStep, ending: Ending | None
) -> list[Item]:
    """Return the effects that send a step's message, if it has one, and that wake the flow when its time is
    over. Nobody wakes one that has ended.
    """
    if step.kind == TASK:
        if not ending:
            return opened(_asked(place, record, envelope, step))
        del record.tasks[step.number]  # nobody is asked
        return []
    effects = []
    if step.kind == COMMAND:
        effects.append(_sent(place, record, envelope, step))
    elif step.kind == CHILD:
        effects.append(_begun(place, record, envelope, step))
    if (step.timeout or step.kind == TIMER) and (step.kind == COMMAND or not ending):
        at = member(place, record, step.number, step)
        effects.append(schedule(place.keys.timers, step.timeout, at))
    return effects


def _asked(place: Place, record: FlowRecord, envelope: Envelope, step: NewStep) -> Asked:
    """Return the task that a step is."""
    packed = record.tasks[step.number]
    return Asked(
        place.keys, record.id, record.run, step.number, step.name, place.now,
        place.now + step.timeout if step.timeout else 0, place.mediator,
        envelope.correlation or envelope.id, envelope.trace, Task.read(packed), packed,
    )  # fmt: skip


def _sent(place: Place, record: FlowRecord, envelope: Envelope, step: NewStep) -> Item:
    """Return the effect that sends a step's command."""
    command = step.message
    assert command is not None, "a command's step has it"
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
        retry=step.retry.written() if step.retry else "",
    )
    return command_output(place.keys, out, step.data)


def _begun(place: Place, record: FlowRecord, envelope: Envelope, step: NewStep) -> Item:
    """Return the effect that has a step's event come in at its front door, as the event of a child."""
    event = step.message
    assert event is not None, "a child's step has it"
    out = Envelope(
        child_id(record.id, record.run, step.number),
        event.type_name,
        event.type_version,
        envelope.correlation or envelope.id,
        envelope.id,
        key=event.message_key(),
        source=place.mediator,
        trace=envelope.trace,
        flow=record.id,
        run=record.run,
        step=step.number,
        reply=place.mediator,
    )
    return initiating_output(place.keys, step.front, out, step.data)


def _expected(place: Place, record: FlowRecord, step: NewStep, wake: Wake) -> Item:
    """Return the effect by which a step waits for its signal."""
    at = Signalled(place.keys.flow(record.id), place.keys.timers, step.name)
    timer = member(place, record, step.number, step) if step.timeout else b""
    return expect(at, step.number, timer, wake)
