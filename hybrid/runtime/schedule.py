"""The schedule: moves what is due. Retries go back to their group's own queue, timeouts and sleeps of steps
to their flows, and what was to be sent later is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from hybrid.broker.outputs import again_output, wake_up
from hybrid.broker.recurring import Recurring, is_tick, schedule_of, ticked
from hybrid.broker.scheduled import moved
from hybrid.broker.shard import Shard
from hybrid.codec import unpack
from hybrid.errors import ScheduleError, ServerError
from hybrid.keys import Keys
from hybrid.mediator.record import TIMEOUT, FlowRecord, Result
from hybrid.mediator.task_changes import asked_of, fired, task_fields
from hybrid.mediator.tasks import CLOSE, ESCALATE, REMIND
from hybrid.mediator.waits import Listener, Match, unlistening
from hybrid.runtime.workplace import Workplace
from hybrid.streams.transitions import Transition, fire, result

MOST = 500
SOONEST = 0.005
"""How often we look at most, in seconds."""
_log = logging.getLogger("hybrid.schedule")


class Timer(NamedTuple):
    """A timer of a flow's step: how it stands in the schedule, whose it is, and what it does; of a step that
    waits to hear an event its match.
    """

    member: bytes
    flow: str
    run: int
    step: int
    mediator: str
    then: str = TIMEOUT
    match: tuple[Any, ...] = ()

    @classmethod
    def read(cls, member: bytes) -> Timer:
        """Return the timer that a member of the schedule is."""
        flow, run, step, mediator, *rest = unpack(member)
        then, *match = rest or [TIMEOUT]
        return cls(member, flow, run, step, mediator, then, tuple(match))


class Schedule:
    """Looks on one shard for what is due, each tick. Any number of workers may: each thing fires once."""

    def __init__(self, shard: Shard, components: Sequence[str], workplace: Workplace) -> None:
        self._shard = shard
        self._components = components
        self._workplace = workplace
        self._zsets = [shard.keys.timers, shard.keys.scheduled, *map(shard.keys.later, components)]
        self._broken: set[bytes] = set()
        """Schedules of which was said that they do not tick here."""

    async def run(self) -> None:
        """Look for ever."""
        tick = self._workplace.settings.tick_ms / 1000
        while True:
            try:
                pause = await self.once()
            except ServerError as error:
                _log.warning("looking for due timers again: %s", error)
                pause = tick
            await asyncio.sleep(min(pause, tick))

    async def once(self) -> float:
        """Look once: move what is due; return after how many seconds to look again.

        What comes due is moved when it does, not by the tickful: retries of many messages would come in
        bursts, and others would have to wait for them.
        """
        found = await self._shard.scripts.due(self._shard.keys.counters, self._zsets, MOST)
        self._workplace.clock.skipped = found.skipped  # before anything that is due by that is on its way
        timers, sent, *later = found.members
        transitions = await self._timed(timers)
        transitions += await self._sent(sent)
        for component, members in zip(self._components, later, strict=True):
            transitions += [again(self._shard.keys, component, member) for member in members]
        if transitions:
            await asyncio.gather(*map(self._shard.settler.settle, transitions))
        if any(len(members) == MOST for members in found.members):
            return 0
        return max(found.following / 1000, SOONEST) if found.following >= 0 else float("inf")

    async def _sent(self, members: Sequence[bytes]) -> list[Transition]:
        """Return the transitions that send what is due: messages, and events of schedules' ticks."""
        ticks = set(filter(is_tick, members))
        messages = [moved(self._shard.keys, member) for member in members if member not in ticks]
        return [*messages, *await self._ticked(ticks)] if ticks else messages

    async def _ticked(self, ticks: set[bytes]) -> list[Transition]:
        """Return the transitions for ticks, by the server's clock. What was written anew or removed just now
        has no such tick any more, and is left out.
        """
        keys, queries = self._shard.keys, self._shard.queries
        now = await queries.now()
        (records,) = await queries.hashes([keys.schedules], [[*map(schedule_of, ticks)]])
        transitions = []
        for name, packed in records.items():
            try:
                schedule = Recurring.read(name.decode(), packed)
                if schedule.member in ticks:
                    transitions.append(ticked(keys, schedule, now))
            except ScheduleError as error:  # as of a time zone that this machine does not know
                if name not in self._broken:
                    _log.error("schedule %s does not tick here: %s", name.decode(), error)
                self._broken.add(name)
        return transitions

    async def _timed(self, members: Sequence[bytes]) -> list[Transition]:
        """Return the transitions for timers of steps. What one of a task does is on the flow's record."""
        timers = list(map(Timer.read, members))
        of_tasks = [timer for timer in timers if timer.then in (CLOSE, REMIND, ESCALATE)]
        transitions = [self._timeout(timer) for timer in timers if timer not in of_tasks]
        if of_tasks:
            keys = [self._shard.keys.flow(timer.flow) for timer in of_tasks]
            records = await self._shard.queries.hashes(keys, [task_fields(timer.step) for timer in of_tasks])
            transitions += map(self._of_task, of_tasks, records)
        return transitions

    def _of_task(self, timer: Timer, fields: dict[bytes, bytes]) -> Transition:
        keys, record = self._shard.keys, FlowRecord.read(timer.flow, fields)
        asked = asked_of(keys, record, timer.step) if record.run == timer.run else None
        if asked is None:  # nobody is asked any more
            return Transition((), [fire(keys.timers, timer.member)], ())
        return fired(asked, timer.then, self._workplace.clock.now())

    def _timeout(self, timer: Timer) -> Transition:
        keys = self._shard.keys
        effects = [
            result(
                keys.flow(timer.flow),
                timer.run,
                str(timer.step),
                Result(timer.then, done=self._workplace.clock.now()).packed(),
                wake_up(keys, timer.mediator, timer.flow),
            )
        ]
        if timer.match:
            listener = Listener(timer.flow, timer.run, timer.step)
            effects.append(unlistening(keys, timer.mediator, Match(*timer.match), listener))
        return Transition((), [fire(keys.timers, timer.member)], effects)


def again(keys: Keys, component: str, member: bytes) -> Transition:
    """Return the transition that gives a component the next attempt that a member of its `later` is."""
    _, flat = msgpack.unpackb(member, raw=True)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Transition((), [fire(keys.later(component), member)], [again_output(keys, component, fields)])
