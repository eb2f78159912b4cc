"""Following many flows to their ends, beside sending them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable

from hybrid.broker.shard import Store
from hybrid.outcomes import OutcomeWatch

NOT_ENDED = "not ended"


class Following:
    """Watches the ends of flows, from before they are sent. States are counted as they come."""

    def __init__(self, watches: list[OutcomeWatch]) -> None:
        self._watches = watches
        self._awaited: dict[str, list[asyncio.Future[str]]] = {}
        self.states: Counter[str] = Counter()
        self._all = asyncio.Event()

    @property
    def left(self) -> int:
        """How many have not ended."""
        return len(self._awaited)

    def expect(self, ids: Iterable[str], ended: Callable[[], None]) -> None:
        """Watch these flows; `ended` is called at the end of each."""
        for id in ids:
            if id in self._awaited:
                continue
            futures = [watch.expect(id) for watch in self._watches]
            self._awaited[id] = futures
            for future in futures:
                future.add_done_callback(lambda done, id=id: self._end(id, done, ended))  # type: ignore[misc]

    def drop(self, id: str) -> None:
        """Watch a flow no longer."""
        for watch, future in zip(self._watches, self._awaited.pop(id, []), strict=False):
            watch.forget(id, future)

    async def finish(self, timeout: float) -> Counter[str]:
        """Wait (seconds) for those that have not ended; return how many ended how."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._awaited:
                    self._all.clear()
                    await self._all.wait()
        return self.states + Counter({NOT_ENDED: self.left})

    def _end(self, id: str, done: asyncio.Future[str], ended: Callable[[], None]) -> None:
        if done.cancelled() or id not in self._awaited:
            return
        self.states[done.result()] += 1
        self.drop(id)
        ended()
        if not self._awaited:
            self._all.set()


@contextlib.asynccontextmanager
async def following(store: Store) -> AsyncIterator[Following]:
    """Give a Following of all shards of a store."""
    watches = [OutcomeWatch(shard, store.settings.block_ms) for shard in store.shards]
    try:
        for watch in watches:
            await watch.start()
        yield Following(watches)
    finally:
        for watch in watches:
            await watch.close()
