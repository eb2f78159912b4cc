"""The ways out for a delivery that failed: back to the one group it failed in, or given up.

Each is a check and effects, for one settle together with the claim that takes the failure out of its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hybrid.broker.failures import Failure
from hybrid.broker.order import turn
from hybrid.broker.outputs import again_output, wake_up
from hybrid.envelope import Envelope
from hybrid.keys import Keys
from hybrid.mediator.record import FAILED, GIVEN_UP, FlowRecord, Result
from hybrid.mediator.steering import giving_up
from hybrid.streams.transitions import (
    Item,
    Transition,
    add,
    awaited,
    count,
    hdel,
    hset,
    overtake,
    release,
    result,
    take,
    zrem,
)


class Way(NamedTuple):
    """A way out. When a check fails, the flow no longer waits for the message: nothing was changed."""

    checks: Sequence[Item]
    effects: Sequence[Item]


def back(keys: Keys, failure: Failure, fields: dict[bytes, bytes] | None = None) -> Way:
    """Return the way back to the one group it failed in, with its attempts counted anew. `fields` is the
    entry that goes back in its place, when the message was mended.
    """
    envelope = failure.envelope
    fields = {**(fields or failure.fields), b"attempt": b"1"}
    if envelope is not None:
        fields[b"time"] = str(envelope.time).encode()
    effects: list[Item] = [again_output(keys, failure.component, fields)]
    if flow := failure.flow:
        step = envelope.step if envelope is not None else 0
        effects.append(hdel(keys.flow(flow), f"stuck:{step}" if step else "error"))
    return Way(_still_awaited(keys, envelope), effects)


def given_up(keys: Keys, failure: Failure, reason: str, now: int, record: FlowRecord | None = None) -> Way:
    """Return the way out of what shall not be tried again: the flow that waits for it sees CommandFailed; a
    flow that failed itself, with this record, comes to its end, unless it has gone on since. `now` in ms.
    """
    effects: list[Item] = [count(keys.counters, f"discarded:{failure.component}")]
    if order := turn(keys, failure.component, failure.fields):
        effects.append(release(order))
    envelope, flow = failure.envelope, failure.flow
    if record and record.begun:
        if record.ended or "error" not in record.facts:
            return Way((), effects)
        checks, _, ended = giving_up(keys, record, f"given up: {reason}", now)
        return Way(checks, [*effects, *ended])
    if envelope is not None and envelope.flow and envelope.step:
        value = Result(GIVEN_UP, data=reason.encode(errors="replace"), done=now).packed()
        wake = wake_up(keys, envelope.reply, envelope.flow)
        effects.append(result(keys.flow(envelope.flow), envelope.run, str(envelope.step), value, wake))
    elif flow:
        effects += _ended(keys, failure, reason, now)
    return Way((), effects)


def sent_back(keys: Keys, failure: Failure) -> Transition:
    """Return the transition that sends what stands among the failures back to the one group it failed in."""
    way = back(keys, failure)
    return Transition(way.checks, [take(keys.failed(failure.component), failure.entry)], way.effects)


def _still_awaited(keys: Keys, envelope: Envelope | None) -> list[Item]:
    if envelope is None or not (envelope.flow and envelope.step):
        return []
    return [awaited(keys.flow(envelope.flow), envelope.run, envelope.step)]


def _ended(keys: Keys, failure: Failure, reason: str, now: int) -> list[Item]:
    """Return the effects that end a flow whose own delivery failed before it had a record. One that failed at
    the front door gets none.
    """
    id, envelope = failure.flow, failure.envelope
    told = add(keys.outcomes, "", ["flow", id, "state", FAILED])
    if envelope is not None and not envelope.class_:
        return [told]
    facts = ["state", FAILED, "error", f"given up: {reason}", "ended", str(now)]
    return [hset(keys.flow(id), facts), overtake(keys.flow(id)), zrem(keys.flows, id), told]
