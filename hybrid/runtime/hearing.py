"""Hearing: finds the flows of a mediator that wait for a broadcast event, on all shards, and gives it to
them.

Each that waits is told in one settle on its own shard; only then is the delivery of the event settled. Who
hears an event again, after a crash, finds those waiting that were not told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from hybrid.broker import log as outcomes
from hybrid.broker.outputs import wake_up
from hybrid.broker.shard import Shard
from hybrid.envelope import Envelope
from hybrid.errors import FlowEnded, HandlerError, ServerUnavailable, UndecodableMessage
from hybrid.mediator.place import timeout_member
from hybrid.mediator.record import HEARD, TIMEOUT, Deed, FlowRecord, Result
from hybrid.mediator.steering import cancelling
from hybrid.mediator.waits import Listener, Match, descriptions, digest_of, since, waiting
from hybrid.messages import Event
from hybrid.runtime.delivery import Delivery
from hybrid.runtime.runner import Runner
from hybrid.streams.transitions import (
    ALREADY_HANDLED,
    APPLIED,
    CHECK_FAILED,
    Heard,
    Transition,
    cancel,
    hear,
    result,
)

T = TypeVar("T")
_FINE = (APPLIED, ALREADY_HANDLED)


class Audible(NamedTuple):
    """A delivery that flows may wait for."""

    delivery: Delivery
    envelope: Envelope
    event: Event


class Listening(NamedTuple):
    """Who, on one shard, waits for one event."""

    shard: Shard
    match: Match
    listener: Listener


class Hearing:
    """Hears events for the flows of one mediator, those of one shard in the order in which they came."""

    def __init__(self, runner: Runner, shards: Sequence[Shard]) -> None:
        self._runner = runner
        self._shards = shards
        self._turn = asyncio.Lock()

    async def hear(self, deliveries: Sequence[Delivery]) -> None:
        """Give events to the flows that wait for them, and settle them."""
        audible = [found for delivery in deliveries if (found := self._read(delivery))]
        async with self._turn:
            waits = await self._all_who_wait(audible)
            told = [self._tell(one, found) for one, found in zip(audible, waits, strict=True)]
            for one, futures in zip(audible, told, strict=True):
                self._settle(one, await asyncio.gather(*futures, return_exceptions=True))

    def _read(self, delivery: Delivery) -> Audible | None:
        try:
            envelope = self._runner.envelope(delivery)
            event = self._runner.decode(envelope, delivery)
            if not isinstance(event, Event):
                raise UndecodableMessage(f"a {envelope.type} is no event: nobody waits for it")
        except Exception as error:  # whatever is wrong with a message, the next one goes on
            self._runner.turn_away(delivery, error)
            return None
        return Audible(delivery, envelope, event)

    async def _all_who_wait(self, audible: Sequence[Audible]) -> list[list[Listening]]:
        """Return who waits for each of these events."""
        found: list[list[Listening]] = [[] for _ in audible]
        for shard in self._shards:
            waits = await _patiently(partial(self._who_wait, shard, audible))
            for known, more in zip(found, waits, strict=True):
                known.extend(more)
        return found

    async def _who_wait(self, shard: Shard, audible: Sequence[Audible]) -> list[list[Listening]]:
        keys, mediator = shard.keys, self._runner.component
        found: list[list[Listening]] = [[] for _ in audible]
        in_use = descriptions(await shard.queries.hash(keys.matches(mediator)))
        sought: list[tuple[int, Match]] = []
        for n, (_, envelope, event) in enumerate(audible):
            for fields in in_use.get(envelope.type, ()):
                if digest := digest_of(event, fields):
                    sought.append((n, Match(envelope.type, fields, digest)))
        pairs = [(keys.waits(mediator, match.type), match.digest) for _, match in sought]
        members = await shard.queries.prefixed(pairs) if pairs else []
        for (n, match), listeners in zip(sought, members, strict=True):
            found[n] += [Listening(shard, match, Listener.read(member)) for member in listeners]
        return found

    def _tell(self, one: Audible, waits: Sequence[Listening]) -> list[asyncio.Future[int]]:
        """Give an event to the steps that wait for it."""
        newest: dict[str, int] = {}
        for _, _, (flow, _, step, _) in waits:
            newest[flow] = max(step, newest.get(flow, 0))
        return [
            asyncio.ensure_future(self._cancel(one, each))
            if each.listener.cancels
            else self._give(one, each, newest[each.listener.flow])
            for each in waits
        ]

    def _give(self, one: Audible, to: Listening, newest: int) -> asyncio.Future[int]:
        shard, match, listener = to
        keys, mediator = shard.keys, self._runner.component
        delivery, envelope, _ = one
        flow, run, step, _ = listener
        elsewhere = shard is not self._runner.shard
        heard = Heard(keys.flow(flow), run, step, newest, envelope.id, envelope.time, elsewhere)
        now, data = self._runner.workplace.clock.now(), delivery.fields.get(b"data", b"")
        value = Result(HEARD, envelope.type, envelope.version, data, envelope.id, 1, delivery.taken, now)
        transition = Transition(
            (),
            (hear(waiting(keys, mediator, match, listener), heard),),
            (
                result(heard.flow, run, str(step), value.packed(), wake_up(keys, mediator, flow)),
                cancel(keys.timers, timeout_member(flow, run, step, mediator, TIMEOUT, match)),
            ),
        )
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        shard.settler.put(transition, told.set_result)
        return told

    async def _cancel(self, one: Audible, to: Listening) -> int:
        """Cancel a flow on an event, unless it has ended meanwhile; return the code of the settle."""
        shard, _, listener = to
        keys, envelope = shard.keys, one.envelope
        deed = Deed(envelope.source or envelope.type, f"heard {envelope.type} {envelope.id}", 0)
        while True:
            fields = await _patiently(lambda: shard.queries.hash(keys.flow(listener.flow)))
            said = fields.get(b"wait:%d" % listener.step)
            elsewhere = shard is not self._runner.shard
            if not said or not since(said, envelope.time, elsewhere=elsewhere):
                return ALREADY_HANDLED
            record = FlowRecord.read(listener.flow, fields)
            try:
                made = cancelling(keys, record, deed._replace(at=self._runner.workplace.clock.now()))
            except FlowEnded:
                return ALREADY_HANDLED
            if (code := await shard.settler.settle(made)) != CHECK_FAILED:
                return code

    def _settle(self, one: Audible, codes: Sequence[int | BaseException]) -> None:
        """Settle an event's delivery: those who waited have been told."""
        refused = HandlerError("the server refused what a flow heard; the worker's log says why")
        errors = [code if isinstance(code, BaseException) else refused for code in codes if code not in _FINE]
        if errors:
            self._runner.fail(one.delivery, errors[0])
            return
        number = codes.count(APPLIED)
        flows = "flow" if number == 1 else "flows"
        self._runner.end(one.delivery, outcomes.DONE, (), f"heard by {number} {flows}" if number else "")


async def _patiently(read: Callable[[], Awaitable[T]]) -> T:
    """Return what can be read, when the server is there."""
    pause = 0.05
    while True:
        try:
            return await read()
        except ServerUnavailable:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)
