"""Where and when something happens to a flow, and how its steps stand there."""

from __future__ import annotations

from typing import NamedTuple

from hybrid.codec import pack
from hybrid.envelope import Envelope
from hybrid.keys import Keys
from hybrid.mediator.record import FIRED, TIMEOUT, TIMER, FlowRecord, Issued
from hybrid.mediator.steps import NewStep
from hybrid.mediator.waits import Match


class Place(NamedTuple):
    """Where and when something happens to a flow: the shard's keys, its mediator's name, the time (ms), the
    largest message (bytes), and for how long (ms) earlier runs are kept.
    """

    keys: Keys
    mediator: str
    now: int
    max_bytes: int
    keep_ms: int


def envelope_of(record: FlowRecord) -> Envelope:
    """Return the envelope of a flow's initiating event, from its record."""
    facts = record.facts
    flow, run, step, reply = record.parent or ("", 0, 0, "")
    return Envelope(
        record.id,
        facts["type"],
        record.schema,
        facts.get("corr", record.id),
        key=facts.get("key", ""),
        time=int(facts.get("sent", 0)),
        trace=facts.get("trace", ""),
        flow=flow,
        run=run,
        step=step,
        reply=reply,
        class_=facts.get("class", ""),
        rule=facts.get("rule", ""),
        reason=facts.get("reason", ""),
    )


def timeout_member(
    flow: str, run: int, step: int, mediator: str, then: str = TIMEOUT, match: Match | None = None
) -> bytes:
    """Return how a step's timeout stands in the schedule; the same when it is set and when it is
    cancelled. `then`: the kind of result that the step has when it fires; `match`: what it waits to hear.
    """
    return pack([flow, run, step, mediator, *([then] if then != TIMEOUT or match else ()), *(match or ())])


def member(place: Place, record: FlowRecord, number: int, step: NewStep | Issued) -> bytes:
    """Return how a step's timer stands in the schedule."""
    then, match = FIRED if step.kind == TIMER else TIMEOUT, Match(*step.match) if step.match else None
    return timeout_member(record.id, record.run, number, place.mediator, then, match)
