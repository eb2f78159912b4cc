"""The lease: says that a consumer lives. A thread renews it, and watches that the event loop and the
readers get on.

A long handler does not cost the lease; a blocked event loop or a frozen process does. Who finds that it was
without a lease for longer than the lease lasts must not go on under its name: others may have taken its
deliveries over.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from hybrid.broker.shard import Shard
from hybrid.errors import ServerError
from hybrid.runtime.workplace import Workplace
from hybrid.streams.leases import LeaseClient

_log = logging.getLogger("hybrid.lease")


class Lease:
    """Renews the consumer's lease on all shards, from a thread of its own."""

    def __init__(self, shards: Sequence[Shard], workplace: Workplace, lost: Callable[[], None]) -> None:
        self._shards = shards
        self._workplace = workplace
        self._lost = lost
        self._client = LeaseClient(shards[0].connections)
        self._stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._seconds = workplace.settings.lease_ms / 1000
        self._renewed = time.monotonic()
        self._beat = time.monotonic()
        self._heart: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="hybrid-lease", daemon=True)

    async def start(self) -> None:
        """Take the lease and start renewing. Raises ServerUnavailable."""
        await asyncio.to_thread(self._renew)
        self._heart = asyncio.create_task(self._pulse())
        self._thread.start()

    async def stop(self) -> None:
        """End the lease."""
        self._stop.set()
        if self._heart:
            self._heart.cancel()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 6)
        await asyncio.to_thread(self._client.close)

    async def _pulse(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(self._seconds / 10)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds / 4):
            now = time.monotonic()
            if now - self._beat > self._seconds * 2:
                _log.warning(
                    "the event loop has stood still for %.1f s: the lease is not renewed", now - self._beat
                )
                continue
            if now - self._renewed > self._seconds:
                self._renewed = now
                self._loop.call_soon_threadsafe(self._lost)
                continue
            try:
                self._renew()
            except ServerError as error:
                _log.warning("the lease could not be renewed: %s", error)

    def _renew(self) -> None:
        began = time.monotonic()
        keys = [shard.keys.lease(self._workplace.consumer) for shard in self._shards]
        server_ms = self._client.renew(keys, self._workplace.settings.lease_ms)
        self._workplace.clock.correct(server_ms)
        self._renewed = began


def facts(workplace: Workplace, names: Sequence[str], host: str, pid: int) -> bytes:
    """Return what a consumer says of itself in the store: packed [host, pid, components, since (ms)]."""
    said: list[Any] = [host, pid, list(names), workplace.clock.now()]
    return msgpack.packb(said)  # type: ignore[no-any-return]
