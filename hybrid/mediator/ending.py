"""The end of a flow: what was done is undone first, from the record alone, then it is over.

A flow that is refused, cancelled, promoted, or fails for good first waits for the commands and children that
are under way, then sends the compensations that it registered, the last first, each when the one before is
acknowledged. No function is needed for it: a flow whose code is gone can be undone still. The idea is that of
sagas (Garcia-Molina and Salem, 1987).
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

from hybrid.broker.outputs import command_output, event_output, wake_up
from hybrid.codec import pack
from hybrid.envelope import Envelope
from hybrid.ids import child_id, command_id, derived_id
from hybrid.keys import Keys
from hybrid.mediator.place import Place, member, timeout_member
from hybrid.mediator.record import (
    CANCELLED,
    CHILD,
    COMMAND,
    COMPLETED,
    FAILED,
    GIVEN_UP,
    NOTHING,
    PROMOTED,
    REPLY,
    RUNNING,
    SIGNAL,
    UNDO,
    UNDOING,
    Deed,
    Ending,
    FlowRecord,
    Issued,
    Result,
)
from hybrid.mediator.task_changes import asked_of, withdrawn
from hybrid.mediator.waits import Match, listener_of, unlistening
from hybrid.streams.transitions import (
    Awaited,
    Item,
    add,
    await_results,
    cancel,
    hdel,
    hset,
    keep,
    overtake,
    result,
    rpush,
    still,
    stuck,
    zrem,
)


def ending_of(record: FlowRecord) -> Ending | None:
    """Return how a flow ends that is to be brought to its end, without its function."""
    if record.asked and (record.ending is None or record.ending.state == PROMOTED):
        return Ending(CANCELLED, why=f"cancelled {record.asked}")
    return record.ending


def towards_end(
    place: Place, record: FlowRecord, envelope: Envelope, ending: Ending, fields: list[Any]
) -> list[Item]:
    """Return the effects that bring a flow nearer to this end: it waits for what is under way, or undoes the
    next thing, or ends. `envelope` is its event's, `fields` are what is to be written on its record besides.
    """
    effects: list[Item] = []
    if record.ending is None:
        effects += dropped(place, record)
        if ending.state != COMPLETED:
            effects += children_asked(place, record, ending.why or ending.state)
    if goes_on(record, envelope, ending):
        if record.ending is None:
            fields += ["ending", ending.packed()]
            effects += _given_up(place, record, ending, fields)
        under_way = _under_way(record)
        if under_way or _is_woken(record, ending):
            return [*effects, _waiting(place, record, fields, under_way)]
        return [*effects, *_undone(place, record, envelope, fields)]
    return [*effects, *_over(place, record, envelope, ending, fields)]


def goes_on(record: FlowRecord, envelope: Envelope, ending: Ending) -> bool:
    """Tell whether a flow that is to end so has something to wait for before, or to undo. A child waits also
    when it has registered nothing, since its parent undoes things as soon as it is over; and one that is
    cancelled, since it may register something when what is under way has come.
    """
    if ending.state == COMPLETED or ending.at_once:
        return False
    waits = record.undos or record.undoing or envelope.flow or ending.state == CANCELLED
    return bool(record.undos or (waits and _under_way(record)) or _is_woken(record, ending))


def is_to_be_heard(record: FlowRecord, ending: Ending) -> bool:
    """Tell whether the function of a cancelled flow is to be run once more, before anything is undone: what
    it waited for may have come, and it may have that to undo, too.
    """
    begun = record.ending is not None and ending.state == CANCELLED
    undone = any(step.kind == UNDO for step in record.steps.values())
    return begun and not undone and not _under_way(record)


def _is_woken(record: FlowRecord, ending: Ending) -> bool:
    """Tell whether a flow that is cancelled just now has results on record that its function has not seen."""
    new = ending.state == CANCELLED and record.ending is None
    return new and bool(record.steps) and int(record.facts.get("need", 1)) <= 0


def _over(
    place: Place, record: FlowRecord, envelope: Envelope, ending: Ending, fields: list[Any]
) -> list[Item]:
    """Return the effects of an end: off the list of unfinished flows, told to those who wait, its event
    broadcast; of a promoted one, that it goes on with another mediator.
    """
    if ending.state == PROMOTED:
        return _handed_on(place, record, ending, fields)
    key = place.keys.flow(record.id)
    fields += ["state", ending.state, "ended", str(place.now)]
    effects: list[Item] = [zrem(place.keys.flows, record.id), *_no_longer_timed(place, record)]
    if record.ending or record.paused or record.asked:
        effects.append(hdel(key, "ending", "paused", "asked"))
    if ending.why:
        fields += ["error", ending.why]
    if ending.event:
        type, schema, data, _ = ending.event
        fields += ["outcome", pack([type, schema, data])]
    effects.append(hset(key, fields))
    said = ["flow", record.id, "state", ending.state, "class", envelope.class_]
    effects.append(add(place.keys.outcomes, "", said if record.run == 1 else [*said, "run", str(record.run)]))
    if envelope.flow:
        effects += child_over(place.keys, envelope, ended_child(ending, place.mediator, place.now))
    if ending.event and ending.is_news:
        effects.append(_broadcast(place, record, envelope, ending.event))
    return effects


def _no_longer_timed(place: Place, record: FlowRecord) -> list[Item]:
    """Return the effects that take the timers of commands off the schedule that nobody waits for any more."""
    steps = ((number, record.steps[number]) for number in record.outstanding)
    return [
        cancel(place.keys.timers, member(place, record, number, step))
        for number, step in steps
        if step.kind == COMMAND and step.timeout
    ]


def dropped(place: Place, record: FlowRecord, first: int = 1) -> list[Item]:
    """Return the effects by which a flow does not wait any more for what is no message, from this step on:
    timers go off the schedule, what waits to hear an event out of the index, and people are not asked any
    more. The timers of commands go when these are acknowledged, or the flow is over.
    """
    effects: list[Item] = []
    for number, step in record.steps.items():
        if step.kind in (COMMAND, UNDO) or number < first or number in record.results:
            continue
        if asked := asked_of(place.keys, record, number):
            effects += withdrawn(asked, place.now)
            continue
        effects.append(cancel(place.keys.timers, member(place, record, number, step)))
        if step.match:
            listener = listener_of(record, number, step.kind)
            effects.append(unlistening(place.keys, place.mediator, Match(*step.match), listener))
    return effects


def ended_child(ending: Ending, by: str, at: int) -> Result:
    """Return the result that a child's end is to its parent."""
    type, schema, data, _ = ending.event or ("", 1, ending.why.encode(), "")
    done = REPLY if type else NOTHING
    return Result(done if ending.state == COMPLETED else ending.state, type, schema, data, by, done=at)


def child_over(keys: Keys, child: Envelope, value: Result) -> list[Item]:
    """Return the effects by which the parent has its step's result, and waits no more for it to time out."""
    wake = wake_up(keys, child.reply, child.flow)
    return [
        result(keys.flow(child.flow), child.run, str(child.step), value.packed(), wake),
        cancel(keys.timers, timeout_member(child.flow, child.run, child.step, child.reply)),
    ]


def reset(record: FlowRecord, first: int = 1) -> list[str]:
    """Return the fields of the record that are no more when a flow runs anew from this step on: what came of
    that step and those after it. What the function registers and records right before it, it does again.
    """
    gone = [
        f"{name}:{number}"
        for number in record.steps
        if number >= first
        for name in ("step", "result", "stuck", "timer", "wait", "task")
    ]
    gone += [f"waiting:{step.name}" for step in record.steps.values() if step.kind == SIGNAL]
    gone += [f"value:{number}" for number, (_, before) in record.values.items() if before >= first - 1]
    gone += [f"patch:{name}" for name, (_, before) in record.patches.items() if before >= first - 1]
    gone += [f"undo:{number}" for number, undo in record.undos.items() if undo.after >= first - 1]
    gone += [f"heard:{id}" for id in record.heard] if first == 1 else []
    return [*gone, "ended", "outcome", "error", "ending", "paused", "asked", "late"]


def told(keys: Keys, flow: str, at: int, what: str, rows: list[Any]) -> Item:
    """Return the effect that writes into a flow's history what happened at a time (ms), with the facts: of an
    advance the steps that were issued ([number, name]), of a deed who did it and why.
    """
    return rpush(keys.history(flow), pack([at, what, rows]))


def failed_child(place: Place, child: Envelope, why: str) -> list[Item]:
    """Return the effects that tell a flow, and those who wait for it, that its child waits for a person."""
    reason = f"child {child.id}: {why}".encode()
    said = ["flow", child.flow, "state", FAILED, "step", str(child.step)]
    return [
        stuck(place.keys.flow(child.flow), child.run, str(child.step), reason),
        add(place.keys.outcomes, "", said),
    ]


def _given_up(place: Place, record: FlowRecord, ending: Ending, fields: list[Any]) -> list[Item]:
    """Give up the commands that wait at the desk: nobody awaits them any more, so that they can't be sent
    back and be done after they were undone. Return the effects that take their timers off the schedule.
    """
    why = f"its flow was {ending.state}" if ending.state != FAILED else "its flow failed"
    value = Result(GIVEN_UP, data=why.encode(), done=place.now).packed()
    effects: list[Item] = []
    for number in sorted(record.failed):
        step = record.steps[number]
        if step.kind == COMMAND:
            fields += [f"result:{number}", value]
            effects.append(cancel(place.keys.timers, member(place, record, number, step)))
    return effects


def unchanged(place: Place, record: FlowRecord, ending: Ending | None) -> list[Item]:
    """Return the checks that what this end takes to be so still is: the commands that it gives up wait at the
    desk (what somebody has sent back meanwhile is under way), the children that it asks have not ended.
    """
    if not ending or ending.state == COMPLETED or record.ending:
        return []
    key = place.keys.flow(record.id)
    stuck_ones = [
        still(key, f"stuck:{number}", why.encode())
        for number, why in sorted(record.failed.items())
        if record.undos and record.steps[number].kind == COMMAND
    ]
    return stuck_ones + children_under_way(place, record)


def children_under_way(place: Place, record: FlowRecord, first: int = 1) -> list[Item]:
    """Return the checks that the children which are asked to be cancelled have not ended: one that was simple
    has left no record.
    """
    key = place.keys.flow(record.id)
    return [still(key, f"result:{number}", b"") for number in _children(record, first)]


def _under_way(record: FlowRecord) -> list[int]:
    """Return the steps of which one cannot know yet what was done: commands and children, but commands that
    wait at the desk.
    """
    failed = {number for number in record.failed if record.steps[number].kind == COMMAND}
    return [
        number
        for number in sorted(record.outstanding - failed)
        if record.steps[number].kind in (COMMAND, CHILD, UNDO)
    ]


def _waiting(place: Place, record: FlowRecord, fields: list[Any], steps: list[int]) -> Item:
    awaited = Awaited((), steps, sorted(record.waits - set(steps)))
    wake = wake_up(place.keys, place.mediator, record.id)
    fields += ["state", UNDOING]
    return await_results(place.keys.flow(record.id), fields, awaited, len(steps), wake)


def _undone(place: Place, record: FlowRecord, envelope: Envelope, fields: list[Any]) -> list[Item]:
    """Return the effects that send the compensation that was registered last."""
    which, number = max(record.undos), max(record.steps, default=0) + 1
    undo = record.undos[which]
    key = place.keys.flow(record.id)
    step = Issued(undo.type, crc32(undo.data), place.now, 0, UNDO, undo.schema)
    fields += ["state", UNDOING, f"step:{number}", step.packed()]
    out = Envelope(
        command_id(record.id, record.run, number),
        undo.type,
        undo.schema,
        envelope.correlation or record.id,
        record.id,
        key=undo.key,
        source=place.mediator,
        trace=envelope.trace,
        flow=record.id,
        run=record.run,
        step=number,
        reply=place.mediator,
    )
    awaited = Awaited([number], (), sorted(record.waits))
    wake = wake_up(place.keys, place.mediator, record.id)
    return [
        command_output(place.keys, out, undo.data),
        await_results(key, fields, awaited, 1, wake),
        hdel(key, f"undo:{which}"),  # it may be among the fields
    ]


def children_asked(place: Place, record: FlowRecord, why: str, first: int = 1) -> list[Item]:
    """Return the effects that ask the children that have not ended to be cancelled, from this step on."""
    effects: list[Item] = []
    asked = Deed(f"flow {record.id}", why, place.now)
    for number in _children(record, first):
        effects += asking(place, child_id(record.id, record.run, number), asked)
    return effects


def _children(record: FlowRecord, first: int) -> list[int]:
    """Return the steps, from this one on, that are children which have not ended."""
    return [n for n in sorted(record.outstanding) if n >= first and record.steps[n].kind == CHILD]


def asking(place: Place, flow: str, deed: Deed) -> list[Item]:
    """Return the effects that ask for a flow of the same shard to be cancelled, whoever carries it out, and
    also if it has not begun yet.
    """
    key, wake = place.keys.flow(flow), wake_up(place.keys, place.mediator, flow)
    return [hset(key, ["asked", deed.packed()]), overtake(key), add(*wake)]


def _broadcast(
    place: Place, record: FlowRecord, envelope: Envelope, event: tuple[str, int, bytes, str]
) -> Item:
    type, schema, data, key = event
    out = Envelope(
        derived_id(record.id, place.mediator, "end", str(record.run)),
        type,
        schema,
        envelope.correlation or envelope.id,
        envelope.id,
        key=key,
        source=place.mediator,
        trace=envelope.trace,
    )
    return event_output(place.keys, out, data)


def _handed_on(place: Place, record: FlowRecord, ending: Ending, fields: list[Any]) -> list[Item]:
    """Return the effects by which a flow begins anew, as the same flow, with another mediator."""
    keys, key = place.keys, place.keys.flow(record.id)
    fields += ["state", RUNNING, "class", ending.event_class, "mediator", ending.mediator]
    fields += ["rule", record.facts.get("rule", ""), "reason", ending.why, "run", str(record.run + 1)]
    return [
        keep(key, keys.past(record.id, record.run), place.keep_ms),
        await_results(key, fields, Awaited(), 0, wake_up(keys, ending.mediator, record.id)),
        hdel(key, "code", *reset(record)),
    ]
