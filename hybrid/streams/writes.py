"""Small writes that are no part of a settle: groups of queues, marks of workers. A full server takes
them, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from hybrid.streams.connection import plain_errors
from hybrid.streams.link import Client
from hybrid.streams.scripts import call_script


class Writes:
    """Writes on one client. Every method may raise ServerUnavailable or ServerError; all may be repeated."""

    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self._url = url

    async def ensure_queues(self, streams: Sequence[str], group: str) -> None:
        """Create the group of these queues where it is missing. Whatever stands in them is still to be
        done.
        """
        with plain_errors(self._url):
            for stream in streams:
                try:
                    await self._anyway("XGROUP CREATE", stream, group, "0", "MKSTREAM")
                except redis.ResponseError as error:
                    if "BUSYGROUP" not in str(error):
                        raise

    async def count_start(self, starts: str, unit: str, consumer: str) -> int:
        """Count a start of a delivery that was taken over; return how many there were."""
        with plain_errors(self._url):
            return await call_script(self._client, "start", [starts], unit, consumer)  # type: ignore[no-any-return]

    async def enrol(self, consumers: str, consumer: str, facts: bytes) -> None:
        """Write down what a consumer serves."""
        with plain_errors(self._url):
            await self._anyway("HSET", consumers, consumer, facts)

    async def strike_off(self, consumers: str, consumer: str) -> None:
        """Delete what a consumer said that it serves."""
        with plain_errors(self._url):
            await self._client.raw("HDEL", consumers, consumer)

    async def leave(self, consumers: str, lease: str, consumer: str) -> None:
        """Strike a consumer off and end its lease."""
        with plain_errors(self._url):
            await self._client.raw("HDEL", consumers, consumer)
            await self._client.raw("DEL", lease)

    async def _anyway(self, command: str, key: str, *arguments: Any) -> Any:
        return await call_script(self._client, "anyway", [key], command, *arguments)
