"""The schedule: moves what is due. Retries go back to their group's own queue, timeouts and sleeps of steps
to their flows, and what was to be sent later is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgpack

from hybrid.broker.outputs import again_output, wake_up
from hybrid.broker.recurring import Recurring, is_tick, schedule_of, ticked
from hybrid.broker.scheduled import moved
from hybrid.broker.shard import Shard
from hybrid.codec import unpack
from hybrid.errors import ScheduleError, ServerError
from hybrid.keys import Keys
from hybrid.mediator.record import TIMEOUT, Result
from hybrid.mediator.waits import Listener, Match, unlistening
from hybrid.runtime.workplace import Workplace
from hybrid.streams.transitions import Transition, fire, result

MOST = 500
SOONEST = 0.005
"""How often we look at most, in seconds."""
_log = logging.getLogger("hybrid.schedule")


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
        transitions = [self._timeout(member) for member in timers]
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

    def _timeout(self, member: bytes) -> Transition:
        keys = self._shard.keys
        flow, run, step, mediator, *then = unpack(member)
        value = Result(then[0] if then else TIMEOUT, done=self._workplace.clock.now()).packed()
        effects = [result(keys.flow(flow), run, str(step), value, wake_up(keys, mediator, flow))]
        if match := then[1:]:
            effects.append(unlistening(keys, mediator, Match(*match), Listener(flow, run, step)))
        return Transition((), [fire(keys.timers, member)], effects)


def again(keys: Keys, component: str, member: bytes) -> Transition:
    """Return the transition that gives a component the next attempt that a member of its `later` is."""
    _, flat = msgpack.unpackb(member, raw=True)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return Transition((), [fire(keys.later(component), member)], [again_output(keys, component, fields)])
