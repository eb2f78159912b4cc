"""The schedule: moves what is due. Retries go back to their group's own queue, timeouts and sleeps to their
flows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgpack

from hybrid.broker.outputs import again_output, wake_up
from hybrid.broker.shard import Shard
from hybrid.codec import unpack
from hybrid.errors import ServerError
from hybrid.mediator.record import TIMEOUT, Result
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
        self._zsets = [shard.keys.timers, *map(shard.keys.later, components)]

    async def run(self) -> None:
        """Look for ever."""
        tick = self._workplace.settings.tick_ms / 1000
        while True:
            try:
                pause = await self._fire()
            except ServerError as error:
                _log.warning("looking for due timers again: %s", error)
                pause = tick
            await asyncio.sleep(min(pause, tick))

    async def _fire(self) -> float:
        """Move what is due; return after how many seconds to look again.

        What comes due is moved when it does, not by the tickful: retries of many messages would come in
        bursts, and others would have to wait for them.
        """
        following, (timers, *later) = await self._shard.scripts.due(self._zsets, MOST)
        transitions = [self._timeout(member) for member in timers]
        for component, members in zip(self._components, later, strict=True):
            transitions += [self._again(component, member) for member in members]
        if transitions:
            await asyncio.gather(*map(self._shard.settler.settle, transitions))
        if len(timers) == MOST or any(len(members) == MOST for members in later):
            return 0
        return max(following / 1000, SOONEST) if following >= 0 else float("inf")

    def _timeout(self, member: bytes) -> Transition:
        keys = self._shard.keys
        flow, run, step, mediator, *then = unpack(member)
        value = Result(then[0] if then else TIMEOUT, done=self._workplace.clock.now()).packed()
        effect = result(keys.flow(flow), run, str(step), value, wake_up(keys, mediator, flow))
        return Transition((), [fire(keys.timers, member)], [effect])

    def _again(self, component: str, member: bytes) -> Transition:
        keys = self._shard.keys
        _, flat = msgpack.unpackb(member, raw=True)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return Transition((), [fire(keys.later(component), member)], [again_output(keys, component, fields)])
