"""The settler: ends deliveries in groups (group commit).

While one settle is under way the next gathers; a lone one never waits. A batch whose reply was lost is sent
again: its claims make it idempotent. A batch that the server can't take now (down, out of memory) waits and
is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from hybrid.errors import ServerError, ServerUnavailable
from hybrid.streams.scripts import Scripts
from hybrid.streams.transitions import Transition, packed

MOST_BYTES = 64 << 20
"""A batch over this is halved: the server takes at most 512 MB in one argument."""
FAILED = -2
"""The code of a transition that the server refused to apply (a bug, or a foreign key in the way)."""

Then = Callable[[int], None]
_REFUSED = (ServerError, ValueError, TypeError, OverflowError)
"""What the server says to a bad transition, and what msgpack says to one that can't be packed."""
_log = logging.getLogger("hybrid.settler")


class Settler:
    """Settles transitions of one shard."""

    def __init__(self, scripts: Scripts, counters: str, most: int = 200) -> None:
        self._scripts = scripts
        self._counters = counters
        self._most = most
        self._waiting: list[tuple[Transition, Then]] = []
        self._running: asyncio.Task[None] | None = None
        self._alone = False

    def put(self, transition: Transition, then: Then) -> None:
        """Settle soon; `then` is called with 1 applied, 0 already handled, -1 a check failed, -2 refused."""
        self._waiting.append((transition, then))
        if self._running is None and not self._alone:
            self._start()

    async def settle(self, transition: Transition) -> int:
        """Settle and return the code. A lone one is settled here and now, without a task of its own."""
        if self._running is None and not self._alone:
            self._alone = True
            try:
                return (await self._apply((transition,)))[0]
            finally:
                self._alone = False
                if self._waiting:
                    self._start()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.put(transition, lambda code: None if done.done() else done.set_result(code))
        return await done

    async def drain(self) -> None:
        """Return when nothing is under way."""
        while self._running is not None or self._alone:
            await (asyncio.wait([self._running]) if self._running else asyncio.sleep(0.001))

    def _start(self) -> None:
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                codes = await self._apply([transition for transition, _ in batch])
                for (_, then), code in zip(batch, codes, strict=True):
                    try:
                        then(code)
                    except Exception:  # as of a waiter that was cancelled; the others must hear all the same
                        _log.exception("what follows a settle failed")
        finally:
            self._running = None

    async def _apply(self, transitions: Sequence[Transition]) -> list[int]:
        pause = 0.05
        while True:
            try:
                keys, batch = packed(self._counters, transitions)
                if len(batch) > MOST_BYTES and len(transitions) > 1:
                    half = len(transitions) // 2
                    return [*await self._apply(transitions[:half]), *await self._apply(transitions[half:])]
                return await self._scripts.settle_packed(keys, batch)
            except ServerUnavailable as error:
                _log.warning("settling %d deliveries again in %.2f s: %s", len(transitions), pause, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
            except _REFUSED as error:
                return await self._apart(transitions, error)

    async def _apart(self, transitions: Sequence[Transition], error: Exception) -> list[int]:
        """Settle one by one after the server refused the whole batch, so that only the bad one fails."""
        if len(transitions) == 1:
            _log.error("refused: %s", error)
            return [FAILED]
        codes = []
        for transition in transitions:
            codes += await self._apply([transition])
        return codes
