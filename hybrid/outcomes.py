"""Watching outcomes: tells those who wait in this process when flows end. One blocking read per shard
serves all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from hybrid.broker.shard import Shard
from hybrid.errors import ServerError
from hybrid.streams.connection import cancelled
from hybrid.streams.queries import Queries

MOST = 10_000
"""How many outcomes are remembered."""
_log = logging.getLogger("hybrid.client")


class OutcomeWatch:
    """Follows the outcomes of one shard, without gap: after a lost connection it goes on where it was."""

    def __init__(self, shard: Shard, block_ms: int) -> None:
        self._shard = shard
        self._client = shard.connections.blocking(block_ms)
        self._queries = Queries(self._client, shard.connections.url)
        self._block = block_ms
        self._expected: dict[str, set[asyncio.Future[str]]] = defaultdict(set)
        self._states: dict[str, str] = {}
        self._last = "0-0"
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look back at the outcomes that are kept, and begin behind the newest one."""
        kept = await self._shard.queries.newest(self._shard.keys.outcomes, most=MOST)
        for entry, fields in reversed(kept):
            self._take(entry, fields)
        self._task = asyncio.create_task(self._run())

    def state(self, flow: str) -> str | None:
        """Return the state in which this flow ended, or last failed; None for one not heard of, or long
        ago.
        """
        return self._states.get(flow)

    def expect(self, flow: str) -> asyncio.Future[str]:
        """Return a future of the state in which this flow ends."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._expected[flow].add(future)
        return future

    def forget(self, flow: str, future: asyncio.Future[str]) -> None:
        """Wait for it no longer."""
        future.cancel()
        self._expected[flow].discard(future)
        if not self._expected[flow]:
            del self._expected[flow]

    async def close(self) -> None:
        """Stop following."""
        if self._task:
            await cancelled([self._task])
        await self._client.aclose()

    async def _run(self) -> None:
        outcomes = self._shard.keys.outcomes
        while True:
            try:
                read = await self._queries.follow({outcomes: self._last}, self._block)
            except ServerError as error:
                _log.warning("following outcomes again: %s", error)
                await asyncio.sleep(0.2)
                continue
            for entry, fields in read.get(outcomes, []):
                self._take(entry, fields)

    def _take(self, entry: bytes, fields: dict[bytes, bytes]) -> None:
        flow, state = fields[b"flow"].decode(), fields[b"state"].decode()
        self._last = entry.decode()
        self._states[flow] = state
        if len(self._states) > MOST:
            del self._states[next(iter(self._states))]
        for future in self._expected.get(flow, ()):
            if not future.done():
                future.set_result(state)
