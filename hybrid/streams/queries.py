"""Plain reads of what stands in Redis, for mediators, the console and the CLI. They change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from hybrid.codec import pack_for_script
from hybrid.streams.connection import AT_ONCE, plain_errors
from hybrid.streams.link import Client
from hybrid.streams.scripts import Entries, call_script, entries_of, pairs

PAGE = 1_000
"""Members of a sorted set that are read at once."""


class Queries:
    """Reads on one client. Every method may raise ServerUnavailable or ServerError."""

    def __init__(self, client: Client, url: str, counters: str = "") -> None:
        """`counters` is the counters' hash of the shard, where the time is asked for."""
        self._client = client
        self._url = url
        self._counters = counters
        self._turn = asyncio.Semaphore(AT_ONCE // 2)

    async def hashes(
        self, keys: Sequence[str], fields: Sequence[Sequence[str]] = ()
    ) -> list[dict[bytes, bytes]]:
        """Return hashes of one shard in one round trip, whole, or of each the fields that are wanted (none
        for all); {} for one that does not exist.
        """
        with plain_errors(self._url):
            async with self._turn:
                wanted = [pack_for_script(fields)] if fields else []
                return [pairs(flat) for flat in await call_script(self._client, "load", keys, *wanted)]

    async def hash(self, key: str) -> dict[bytes, bytes]:
        """Return a whole hash."""
        return (await self.hashes([key]))[0]

    async def whole_list(self, key: str) -> list[bytes]:
        """Return a whole list."""
        return await self._one("LRANGE", key, 0, -1)  # type: ignore[no-any-return]

    async def range(self, stream: str, first: str = "-", last: str = "+", most: int = 1000) -> Entries:
        """Return entries of a stream, oldest first."""
        return entries_of(await self._one("XRANGE", stream, first, last, "COUNT", most))

    async def newest(self, stream: str, last: str = "+", most: int = 1000) -> Entries:
        """Return entries of a stream, newest first."""
        return entries_of(await self._one("XREVRANGE", stream, last, "-", "COUNT", most))

    async def follow(self, streams: dict[str, str], block_ms: int, most: int = 1000) -> dict[str, Entries]:
        """Return what comes after these ids, per stream; waits up to block_ms. The client should be a
        blocking one.
        """
        arguments = ["COUNT", most, "BLOCK", block_ms, "STREAMS", *streams, *streams.values()]
        reply = await self._one("XREAD", *arguments)
        return {stream.decode(): entries_of(rows) for stream, rows in reply or ()}

    async def lengths(self, keys: Sequence[str]) -> list[int]:
        """Return the lengths of streams."""
        return await self._many(("XLEN", key) for key in keys)

    async def scored(self, zset: str, most: int, newest: bool = False) -> list[tuple[str, int]]:
        """Return (member, score) of a sorted set, by score."""
        verb = "ZREVRANGE" if newest else "ZRANGE"
        flat = await self._one(verb, zset, 0, most - 1, "WITHSCORES")
        return [(member.decode(), int(score)) for member, score in zip(flat[::2], flat[1::2], strict=True)]

    async def between(
        self, zset: str, low: int, high: int, most: int, newest: bool = False
    ) -> list[tuple[str, int]]:
        """Return (member, score) of a sorted set with scores from low to high, `most` at most (-1: all)."""
        bounds = ("BYSCORE", "REV") if newest else ("BYSCORE",)
        first, last = (high, low) if newest else (low, high)
        flat = await self._one("ZRANGE", zset, first, last, *bounds, "LIMIT", 0, most, "WITHSCORES")
        return [(member.decode(), int(score)) for member, score in zip(flat[::2], flat[1::2], strict=True)]

    async def members(self, zset: str, most: int) -> Sequence[bytes]:
        """Return members of a sorted set, lowest score first."""
        return await self._one("ZRANGE", zset, 0, most - 1)  # type: ignore[no-any-return]

    async def dated(self, zset: str, start: int, most: int) -> list[tuple[bytes, int]]:
        """Return (member, score) of a sorted set, lowest score first, from a rank on."""
        flat = await self._one("ZRANGE", zset, start, start + most - 1, "WITHSCORES")
        return [(member, int(score)) for member, score in zip(flat[::2], flat[1::2], strict=True)]

    async def beginning(self, zset: str, pattern: str) -> list[bytes]:
        """Return the members of a sorted set that match a pattern (glob), looked for in pages."""
        with plain_errors(self._url):
            found = self._client.plain.zscan_iter(zset, match=pattern, count=1000)
            return [member async for member, _ in found]

    async def ranked(self, zset: str, start: int, most: int) -> Sequence[bytes]:
        """Return members of a sorted set, of equal scores in the order of their bytes, from a rank on."""
        return await self._one("ZRANGE", zset, start, start + most - 1)  # type: ignore[no-any-return]

    async def prefixed(self, sought: Sequence[tuple[str, bytes]]) -> list[list[bytes]]:
        """Return the members of sorted sets that begin with a prefix, for pairs of set and prefix: all of one
        score, and with nothing but ASCII behind the prefix.
        """
        found: list[list[bytes]] = [[] for _ in sought]
        after = {place: b"[" + prefix for place, (_, prefix) in enumerate(sought)}
        while after:
            ranges = [
                ("ZRANGEBYLEX", sought[place][0], first, b"(%s\xff" % sought[place][1], "LIMIT", 0, PAGE)
                for place, first in after.items()
            ]
            pages = dict(zip(after, await self._many(ranges), strict=True))
            for place, page in pages.items():
                found[place] += page
            after = {place: b"(" + page[-1] for place, page in pages.items() if len(page) == PAGE}
        return found

    async def size(self, zset: str) -> int:
        """Return the number of members of a sorted set."""
        return await self._one("ZCARD", zset)  # type: ignore[no-any-return]

    async def exist(self, keys: Sequence[str]) -> list[bool]:
        """Tell of each key whether it exists."""
        return [bool(n) for n in await self._many(("EXISTS", key) for key in keys)]

    async def consumers(self, stream: str, group: str) -> list[tuple[str, int]]:
        """Return (consumer, pending entries) of a group; [] when there is no such group or stream."""
        return [(name, pending) for name, pending, _ in await self.readers(stream, group)]

    async def readers(self, stream: str, group: str) -> list[tuple[str, int, int]]:
        """Return (consumer, pending entries, ms since it last asked) of a group; [] when there is none."""
        try:
            rows = await self._client.plain.xinfo_consumers(stream, group)
        except Exception as error:
            if "NOGROUP" in str(error) or "no such key" in str(error).lower():
                return []
            with plain_errors(self._url):
                raise
        return [(row["name"].decode(), row["pending"], row["idle"]) for row in rows]

    async def now(self) -> int:
        """Return the time in ms, by the server's clock; in a test store with what was skipped."""
        with plain_errors(self._url):
            return await call_script(self._client, "now", [self._counters])  # type: ignore[no-any-return]

    async def server_time(self) -> int:
        """Return the server's own time in ms, of which the ids of entries are made."""
        seconds, microseconds = await self._one("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def info(self) -> dict[str, Any]:
        """Return the server's INFO."""
        with plain_errors(self._url):
            return await self._client.plain.info()  # type: ignore[no-any-return]

    async def config(self, *names: str) -> dict[str, str]:
        """Return settings of the server; {} when it does not tell (managed servers)."""
        try:
            return await self._client.plain.config_get(*names)  # type: ignore[no-any-return]
        except Exception:  # a managed server refuses CONFIG in its own words
            return {}

    async def _one(self, *command: Any) -> Any:
        with plain_errors(self._url):
            async with self._turn:
                return await self._client.raw(*command)

    async def _many(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        with plain_errors(self._url):
            pipe = self._client.plain.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            async with self._turn:
                return await pipe.execute()  # type: ignore[no-any-return]
