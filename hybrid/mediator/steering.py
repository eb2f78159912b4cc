"""Steering: what a person, or a program, does with a flow from outside, each as one transition.

All go by the record's version, so that a mediator which is at work on the flow loads it again; when somebody
else was faster the check fails, and the caller looks again. Each is written into the flow's history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hybrid.broker.outputs import wake_up
from hybrid.envelope import Envelope
from hybrid.errors import DeedRefused, FlowEnded
from hybrid.keys import Keys
from hybrid.mediator.advance import advance
from hybrid.mediator.ending import children_asked, children_under_way, dropped, reset, told, unchanged
from hybrid.mediator.place import Place, envelope_of
from hybrid.mediator.record import (
    CANCEL_ON,
    CANCELLED,
    CHILD,
    COMMAND,
    FAILED,
    PROMOTED,
    RUNNING,
    UNDO,
    Deed,
    Ending,
    FlowRecord,
    Result,
)
from hybrid.mediator.replay import Progress
from hybrid.mediator.versions import counted_anew
from hybrid.mediator.waits import Match, listener_of, listening
from hybrid.streams.transitions import (
    Awaited,
    Item,
    Transition,
    add,
    await_results,
    hdel,
    hset,
    keep,
    overtake,
    still,
    version,
    zadd,
)

CANCEL, PAUSE, RESUME, RETRY, RESTART, FIX = "cancel", "pause", "resume", "retry", "restart", "fix"
"""What can be done, as the history calls it."""


def cancelling(keys: Keys, record: FlowRecord, deed: Deed, *, now: bool = False) -> Transition:
    """Return the transition that cancels a flow: what is under way is waited for, then everything that it has
    registered is undone; `now`: it is over at once, and nothing is undone.

    Raises FlowEnded; also for one that is being undone already, unless `now`.
    """
    if record.ended:
        raise FlowEnded(record.id, record.state)
    place = _place(keys, record, deed)
    ending = Ending(CANCELLED, why=f"cancelled {deed}", at_once=now)
    effects = [_told(keys, record, deed, CANCEL, *(["now"] if now else []))]
    if record.ending and not now:
        if record.ending.state != PROMOTED:
            raise FlowEnded(record.id, f"{record.ending.state}, and is being undone")
        effects += [hset(keys.flow(record.id), ["ending", ending.packed()]), overtake(keys.flow(record.id))]
        return Transition([_seen(keys, record)], (), effects)
    if record.paused:
        effects.append(hdel(keys.flow(record.id), "paused"))
    checks, ended = _ended(place, record, ending)
    return Transition(checks, (), [*ended, *effects])


def giving_up(keys: Keys, record: FlowRecord, why: str, at: int) -> Transition:
    """Return the transition that ends a flow which failed itself, at a time (ms): what it has registered is
    undone, and who waits for it told.
    """
    place = Place(keys, record.facts["mediator"], at, 0, 0)
    checks, effects = _ended(place, record, Ending(FAILED, why=why))
    return Transition(checks, (), effects)


def pausing(keys: Keys, record: FlowRecord, deed: Deed) -> Transition:
    """Return the transition that pauses a flow: commands under way are done, timers fire and signals come,
    but it does not go on. Raises FlowEnded, and DeedRefused for one that is paused or being undone.
    """
    _open(record)
    if record.paused:
        raise DeedRefused(record.id, f"is paused already, {record.paused}")
    if record.ending:
        raise DeedRefused(record.id, "is being undone: that can't be paused")
    key = keys.flow(record.id)
    effects = [hset(key, ["paused", deed.packed()]), overtake(key), _told(keys, record, deed, PAUSE)]
    return Transition([_seen(keys, record)], (), effects)


def stopped(
    place: Place, record: FlowRecord, envelope: Envelope, deed: Deed
) -> tuple[list[Item], list[Item]]:
    """Return the checks and effects by which a mediator leaves a flow where it is, since it is paused, or all
    of its kind are; a new one is put on record, without a step.
    """
    keys, key = place.keys, place.keys.flow(record.id)
    if record.paused:
        return [], []
    if record.begun:
        checks, effects = [_seen(keys, record)], [overtake(key)]
    else:
        (seen, *_), effects = advance(place, record, envelope, Progress(RUNNING, need=1))
        checks = [seen]
    checks.append(still(keys.pauses, deed.rule, deed.packed()))  # or nobody would resume it
    pause = told(keys, record.id, place.now, PAUSE, [[deed.who, deed.why, deed.rule]])
    return checks, [*effects, hset(key, ["paused", deed.packed()]), pause]


def resuming(keys: Keys, record: FlowRecord, deed: Deed) -> Transition:
    """Return the transition that lets a paused flow go on. Raises FlowEnded, DeedRefused."""
    _open(record)
    if not record.paused:
        raise DeedRefused(record.id, "is not paused")
    key = keys.flow(record.id)
    wake = wake_up(keys, record.facts["mediator"], record.id)
    effects = [hdel(key, "paused"), overtake(key), add(*wake), _told(keys, record, deed, RESUME)]
    return Transition([_seen(keys, record)], (), effects)


def restarting(keys: Keys, record: FlowRecord, deed: Deed, step: int, code: int, keep_ms: int) -> Transition:
    """Return the transition that begins a new run of a flow, also of one that has ended: the results of the
    steps before this one are kept, the others are done anew, by this version of its function (0: the one that
    it runs on). The record of the old run is kept for `keep_ms`. Raises DeedRefused.
    """
    _restartable(record, step)
    place, key = _place(keys, record, deed), keys.flow(record.id)
    fields: list[Any] = ["version", str(record.version + 1), "state", RUNNING, "run", str(record.run + 1)]
    if code:
        fields += ["code", str(code)]
    wake = wake_up(keys, place.mediator, record.id)
    new = str(code or record.facts.get("code", ""))
    effects = [
        *counted_anew(keys, record, record.facts, new),
        keep(key, keys.past(record.id, record.run), keep_ms),
        *dropped(place, record, step),
        *children_asked(place, record, f"restarted from step {step} {deed}", step),
        *(_still_cancelled_on(place, record, step) if record.ended else ()),
        hdel(key, *reset(record, step)),
        await_results(key, fields, Awaited(), 0, wake),
        _told(keys, record, deed, RESTART, step, code),
    ]
    if record.ended:
        effects.append(zadd(keys.flows, int(record.facts["started"]), record.id))
    checks = [_seen(keys, record), *children_under_way(place, record, step)]
    return Transition(checks, (), effects)


def fixing(
    keys: Keys, record: FlowRecord, deed: Deed, results: Mapping[int, Result], said: str
) -> Transition:
    """Return the transition that puts other results in the place of those on record. `said` tells in words
    what was changed. A flow that goes on is woken, so that what it has registered to be undone is put right.
    """
    key, fields = keys.flow(record.id), list[Any](("fixed", "1"))
    for number, value in results.items():
        fields += [f"result:{number}", value.packed()]
    checks = [_seen(keys, record)]
    checks += [still(key, f"result:{number}", record.results[number].packed()) for number in results]
    effects = [hset(key, fields), overtake(key), _told(keys, record, deed, FIX, said)]
    if record.state == RUNNING:
        effects.append(add(*wake_up(keys, record.facts["mediator"], record.id)))
    return Transition(checks, (), effects)


def _restartable(record: FlowRecord, step: int) -> None:
    """Raise DeedRefused unless a flow can be run anew from this step on."""
    steps = {number: issued for number, issued in record.steps.items() if issued.kind != UNDO}
    if step not in steps and step != 1:
        had = f"its steps are 1 to {max(steps)}" if steps else "it has had no step: restart it from 1"
        raise DeedRefused(record.id, f"has no step {step}: {had}")
    if record.ending:
        raise DeedRefused(record.id, "is being undone: wait until it has ended, or cancel it now")
    if len(steps) < len(record.steps) and step != 1:
        raise DeedRefused(record.id, f"was undone, also what step {step} builds on: restart it from step 1")
    if early := [number for number in sorted(record.outstanding) if number < step]:
        raise DeedRefused(record.id, f"has no result of step {early[0]} yet: restart it from that one")
    if record.ended:
        return
    if record.asked:
        raise DeedRefused(record.id, f"is to be cancelled {record.asked}: wait until it has ended")
    for number in sorted(record.outstanding - record.failed.keys()):
        if steps[number].kind in (COMMAND, CHILD):
            raise DeedRefused(
                record.id,
                f"has step {number} ({steps[number].label}) under way, which would be done twice: wait for"
                " it, or cancel the flow now and restart it then",
            )


def _still_cancelled_on(place: Place, record: FlowRecord, before: int) -> list[Item]:
    """Return the effects by which a flow that has ended is cancelled on the same events again that it was
    before this step.
    """
    return [
        listening(place.keys, place.mediator, Match(*step.match), listener_of(record, number, step.kind))
        for number, step in record.steps.items()
        if step.match and step.kind == CANCEL_ON and number < before
    ]


def _ended(place: Place, record: FlowRecord, ending: Ending) -> tuple[list[Item], list[Item]]:
    """Return the checks and effects that bring a flow to this end, whoever has paused it."""
    record.facts.setdefault("code", "0")  # it has none before its first run with a mediator
    _, effects = advance(place, record, envelope_of(record), Progress(ending.state, ending=ending))
    return [_seen(place.keys, record), *unchanged(place, record, ending)], effects


def _open(record: FlowRecord) -> None:
    if record.ended:
        raise FlowEnded(record.id, record.state)


def _place(keys: Keys, record: FlowRecord, deed: Deed) -> Place:
    return Place(keys, record.facts["mediator"], deed.at, 0, 0)


def _seen(keys: Keys, record: FlowRecord) -> Item:
    return version(keys.flow(record.id), record.version)


def _told(keys: Keys, record: FlowRecord, deed: Deed, what: str, *details: Any) -> Item:
    return told(keys, record.id, deed.at, what, [[deed.who, deed.why, *details]])
