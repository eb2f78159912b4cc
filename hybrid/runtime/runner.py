"""Runners: take deliveries of one component on one shard and end each in one settle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from hybrid.broker import log as outcomes
from hybrid.broker.failures import Culprit, Failure, error_note, failed_output, failure_of
from hybrid.broker.log import LogEntry
from hybrid.broker.order import GATE, turn
from hybrid.broker.settler import FAILED
from hybrid.broker.shard import Shard
from hybrid.codec import pack
from hybrid.envelope import Envelope, from_fields
from hybrid.errors import HandlerError, NewerMessage, NotRegistered, UndecodableMessage, UnknownMessage
from hybrid.keys import Keys
from hybrid.mediator.record import IN_REPAIR
from hybrid.messages import Message
from hybrid.repair.mending import noted, repair_output, route
from hybrid.runtime.delivery import Delivery
from hybrid.runtime.workplace import Workplace
from hybrid.streams.transitions import (
    ALREADY_HANDLED,
    Item,
    Transition,
    ack,
    add,
    hdel,
    log,
    release,
    schedule,
    stuck,
)

NOTHING = Envelope("", "")
"""The envelope of what is no message."""

PASSED = b"passed"
"""The field of an entry that was passed on: how often, and since when, as N/MS."""
PAUSE, LONGEST_PAUSE = 50, 10_000
"""How long (ms) what is passed on rests: at first, each time so much longer, and at most. It comes to newer
code by chance, so it is offered often while that is likely.
"""
OTHER_CODE = (UnknownMessage, NewerMessage, NotRegistered)
"""Why a delivery can't be taken by this program, and may be by one of newer code."""


class Runner:
    """The base of the four kinds: of processors, simple mediators, mediators, workflow processors."""

    def __init__(self, component: str, shard: Shard, workplace: Workplace) -> None:
        self.component = component
        self.shard = shard
        self.keys = shard.keys
        self.workplace = workplace
        self.settings = workplace.settings
        self.catalog = workplace.topology.catalog
        self._settled = f"settled:{component}"
        self._tasks: set[asyncio.Task[Any]] = set()
        self._discard = self._tasks.discard
        self._loop = asyncio.get_running_loop()

    def take(self, deliveries: Sequence[Delivery]) -> None:
        """Take deliveries into work. Each ends by a settle that releases it from its lane."""
        raise NotImplementedError

    def drop_waiting(self) -> list[Delivery]:
        """Give up what has not been started; return it."""
        return []

    @property
    def running(self) -> set[asyncio.Task[Any]]:
        """What is being handled now."""
        return self._tasks

    def envelope(self, delivery: Delivery) -> Envelope:
        """Return a delivery's envelope. Raises UndecodableMessage."""
        try:
            delivery.envelope = envelope = from_fields(delivery.fields, delivery.entry)
        except (KeyError, ValueError) as error:
            raise UndecodableMessage(
                f"an entry of {delivery.lane.channel} is no message of ours: {error}"
            ) from error
        return envelope

    def decode(self, envelope: Envelope, delivery: Delivery) -> Message:
        """Return a delivery's message. Raises UnknownMessage, UndecodableMessage, NewerMessage or
        InvalidMessage.
        """
        return self.catalog.decode(envelope.type, delivery.fields.get(b"data", b""), envelope.version)

    def end(self, delivery: Delivery, outcome: str, effects: Sequence[Item], note: str = "") -> None:
        """Settle a delivery for good: acknowledged, with these effects."""
        effects = [*effects, *self.over(delivery), self.entry(delivery, outcome, note)]
        self._settle(delivery, (), self._settled, effects)

    def expire(self, delivery: Delivery) -> None:
        """Settle a command that nobody waits for any more, without handling it."""
        effects = [*self.over(delivery), self.entry(delivery, outcomes.EXPIRED)]
        self._settle(delivery, (), f"expired:{self.component}", effects)

    def over(self, delivery: Delivery) -> Sequence[Item]:
        """Return the effects of a delivery's end, besides what it led to: the next of its key may come."""
        if GATE not in delivery.fields:
            return ()
        order = turn(self.keys, self.component, delivery.fields)
        return (release(order),) if order else ()

    def put_off(self, delivery: Delivery, effects: Sequence[Item], outcome: str, note: str = "") -> None:
        """Settle one attempt; the message is elsewhere now, and not yet done."""
        self._settle(delivery, (), "", [*effects, self.entry(delivery, outcome, note)])

    def turn_away(self, delivery: Delivery, error: BaseException) -> None:
        """End a delivery that could not be begun: pass it on, when newer code may take it, else fail."""
        if not isinstance(error, OTHER_CODE) or (passed := self.passing_on(delivery, error)) is None:
            self.fail(delivery, error)
        elif delivery.envelope and 0 < delivery.envelope.expires < self.workplace.clock.now():
            self.expire(delivery)
        else:
            self._settle(delivery, (), "", passed)

    def passing_on(self, delivery: Delivery, error: BaseException) -> list[Item] | None:
        """Return the effects that give a delivery back to its group after a pause, as the attempt that it is;
        None when it has been passed on for as long as it may be.
        """
        now, fields = self.workplace.clock.now(), delivery.fields
        times, since = _passed(fields, now)
        left = since + self.settings.pass_on_ms - now
        if left <= 0:
            fields.pop(PASSED, None)  # it may be passed on again when somebody sends it back
            return None
        again = {b"time": delivery.entry.partition(b"-")[0], **fields, PASSED: b"%d/%d" % (times + 1, since)}
        flat = [item for pair in again.items() for item in pair]
        pause = min(PAUSE * (times + 1), LONGEST_PAUSE, left)
        later = schedule(self.keys.later(self.component), pause, pack([delivery.entry, flat]))
        return [later, self.entry(delivery, outcomes.PASSED_ON, error_note(error))]

    def fail(
        self, delivery: Delivery, error: BaseException, handler: str = "", extra: Sequence[Item] = ()
    ) -> None:
        """Hand a delivery to the program that repairs it, or put it among the failures, and tell its flow."""
        self._settle(delivery, (), "", self.failing(delivery, error, handler, extra))

    def poisoned(self, delivery: Delivery, error: HandlerError) -> None:
        """Put a delivery among the failures without starting it: it has cost too many workers."""
        try:
            self.envelope(delivery)
        except UndecodableMessage:
            delivery.envelope = None
        self.fail(delivery, error)

    def failing(
        self, delivery: Delivery, error: BaseException, handler: str, extra: Sequence[Item]
    ) -> list[Item]:
        """Return the effects of a failure."""
        envelope, fields = delivery.envelope or NOTHING, delivery.fields
        culprit = Culprit(self.component, handler or self.component, delivery.lane.channel)
        if envelope.time:  # the id of its entry told that, and it gets another one
            fields = {**fields, b"time": str(envelope.time).encode()}
        failure = failure_of(culprit, fields, error, envelope.attempt)
        repair, said = route(self.workplace.topology, failure, error)
        note = error_note(error)
        if repair:
            effects = [repair_output(self.keys, failure, repair), *extra]
            effects += self.telling(delivery, f"{IN_REPAIR}{repair.component}: {note}", over=False)
            return [*effects, self.entry(delivery, outcomes.IN_REPAIR, f"by {repair.component}: {note}")]
        note += f" ({said})" if said else ""
        effects = [failed_output(self.keys, noted(failure, said)), *extra, *self.telling(delivery, note)]
        return [*effects, self.entry(delivery, outcomes.FAILED, note)]

    def telling(self, delivery: Delivery, why: str, *, over: bool = True) -> list[Item]:
        """Return the effects that tell the flow which waits for a delivery that it has failed; `over` when no
        program can help, and those who wait for the flow are to know.
        """
        envelope = delivery.envelope or NOTHING
        if not (envelope.flow and envelope.step):
            return []
        step = str(envelope.step)
        effects = [stuck(self.keys.flow(envelope.flow), envelope.run, step, why.encode())]
        if over:
            told = ["flow", envelope.flow, "state", "failed", "step", step]
            effects.append(add(self.keys.outcomes, "", told))
        return effects

    def entry(self, delivery: Delivery, outcome: str, note: str = "") -> Item:
        """Return the effect that writes a delivery's line into the settle log."""
        envelope = delivery.envelope or NOTHING
        line = LogEntry(
            envelope.id,
            envelope.type,
            delivery.lane.channel,
            self.component,
            self.workplace.consumer,
            delivery.taken,
            envelope.attempt,
            outcome,
            envelope.correlation or envelope.id,
            envelope.cause,
            envelope.flow,
            envelope.step,
            note,
            envelope.key,
        )
        return log(self.keys.log, line.packed())

    def claim(self, delivery: Delivery, counter: str) -> Item:
        """Return the claim that this delivery is ours to end."""
        lane = delivery.lane
        return ack(lane.stream, lane.group, delivery.entry, lane.queue, counter)

    def _settle(self, delivery: Delivery, checks: Sequence[Item], counter: str, effects: list[Item]) -> None:
        if delivery.taken_over:
            effects.append(hdel(self.keys.starts, delivery.unit))
        transition = Transition(checks, (self.claim(delivery, counter),), effects)
        self.shard.settler.put(transition, self._after(delivery))

    def _after(self, delivery: Delivery) -> Callable[[int], None]:
        def then(code: int) -> None:
            if code == FAILED:
                self.last_resort(delivery)
            else:
                if code == ALREADY_HANDLED and delivery.taken_over:
                    self.forget_starts([delivery])
                delivery.lane.release(delivery)

        return then

    def last_resort(self, delivery: Delivery) -> None:
        """Put a delivery among the failures whose settle was refused; refused again, it stays pending.

        The server may have got as far as acknowledging it before it met what it could not do: then there is
        nothing left to claim, and without this entry the message would be nowhere.
        """
        error = HandlerError("the server refused the outputs of this delivery; the worker's log says why")
        effects = [failed_output(self.keys, self.refused(delivery, error))]

        def then(code: int) -> None:
            if code == ALREADY_HANDLED:
                self.shard.settler.put(Transition((), (), effects), lambda code: None)
            delivery.lane.release(delivery)

        self.shard.settler.put(Transition((), (self.claim(delivery, ""),), effects), then)

    def refused(self, delivery: Delivery, error: HandlerError) -> Failure:
        """Return the failure of a delivery whose settle the server refused."""
        culprit = Culprit(self.component, self.component, delivery.lane.channel)
        return failure_of(culprit, delivery.fields, error, 1)

    def forget_starts(self, deliveries: Sequence[Delivery]) -> None:
        """Forget the starts of deliveries that their former owner has settled after all, as it thawed."""
        units = [delivery.unit for delivery in deliveries if delivery.taken_over]
        if units:
            self.shard.settler.put(Transition((), (), [hdel(self.keys.starts, *units)]), lambda code: None)

    def spawn(self, work: Any) -> None:
        """Run a coroutine as a task of this runner."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._discard)


def event_failed(keys: Keys, id: str) -> Item:
    """Return the effect that tells those who wait for an initiating event without a flow that it failed."""
    return add(keys.outcomes, "", ["flow", id, "state", "failed"])


def _passed(fields: dict[bytes, bytes], now: int) -> tuple[int, int]:
    """Return how often an entry was passed on, and since when (ms)."""
    times, _, since = fields.get(PASSED, b"").partition(b"/")
    return (int(times), int(since)) if times.isdigit() and since.isdigit() else (0, now)
