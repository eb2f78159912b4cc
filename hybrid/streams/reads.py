"""Reads of streams with consumer groups, each reader on a connection of its own.

An XREADGROUP is a write whose reply can be lost. So a reader is never cancelled in the normal course
(`unblock` ends a blocked read with an empty reply), and after a lost connection the own pending entries are
read again.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from hybrid.codec import pack_for_script
from hybrid.streams.connection import Connections, plain_errors
from hybrid.streams.scripts import Entries, call_script, entries_of

Read = list[tuple[str, Entries]]
"""Per stream (its key) the entries, each (id, fields)."""


class GroupReader:
    """Reads for one consumer of one group."""

    def __init__(self, connections: Connections, group: str, consumer: str, block_ms: int) -> None:
        self.group = group
        self.consumer = consumer
        self._connections = connections
        self._block = block_ms
        self._client = connections.blocking(block_ms)
        self._helper = connections.commands()
        self._blocked = False

    async def wait(self, streams: list[str], most: int) -> Read:
        """Return new entries, at most `most` per stream; wait up to block_ms when there are none."""
        self._blocked = True
        with plain_errors(self._connections.url):
            try:
                return await self._read(most, streams, ">", self._block)
            finally:
                self._blocked = False

    async def take(self, rooms: dict[str, int], most: int) -> Read:
        """Return new entries without waiting, at most `most`, and per stream no more than it has room for;
        what comes first goes first.
        """
        streams = list(rooms)
        with plain_errors(self._connections.url):
            reply = await call_script(
                self._client, "take", streams, self.group, self.consumer, most, *rooms.values()
            )
        return [(stream, entries_of(rows)) for stream, rows in zip(streams, reply, strict=True) if rows]

    async def own_pending(self, stream: str, after: bytes, most: int) -> Entries:
        """Return entries that were given to this consumer and not settled, after an id (b"0" for all)."""
        with plain_errors(self._connections.url):
            read = await self._read(most, [stream], after, None)
        return read[0][1] if read else []

    async def unblock(self) -> None:
        """End a read that waits, with what it has: nothing.

        The read may be on its way to the server and not blocked there yet; so ask until it is, or is over.
        In a cluster nothing is done: the read ends by itself, after block_ms.
        """
        if self._connections.cluster:
            return
        with plain_errors(self._connections.url):
            # the condition is the server's
            while self._blocked and not (  # noqa: ASYNC110
                self._client.id and await self._helper.raw("CLIENT", "UNBLOCK", self._client.id)
            ):
                await asyncio.sleep(0.001)

    async def reconnect(self) -> None:
        """Drop the connection; the next read makes a new one."""
        await self._client.aclose()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._helper.aclose()

    async def _read(self, most: int, streams: list[str], after: str | bytes, block: int | None) -> Read:
        reply = await self._client.raw(*self._command(most, streams, after, block))
        return [(stream.decode(), entries_of(rows)) for stream, rows in reply or ()]

    def _command(
        self, most: int, streams: list[str], after: str | bytes, block: int | None = None
    ) -> list[Any]:
        waiting = [] if block is None else ["BLOCK", block]
        group = ["GROUP", self.group, self.consumer, "COUNT", most]
        return ["XREADGROUP", *group, *waiting, "STREAMS", *streams, *([after] * len(streams))]


class Ordered(NamedTuple):
    """A stream whose messages keep an order: its channel's name, whether it is a queue, and the field by
    which messages of a type are ordered.
    """

    channel: str
    queue: bool
    fields: dict[str, str]


class OrderedReader(GroupReader):
    """Reads what is the first of its key; what is not is held, in the same step (see `admit.lua`).

    A read that waits would not gate what it gets. So this waits with XREAD behind the group's position, which
    takes nothing, and then reads without waiting.
    """

    def __init__(
        self,
        reads: tuple[Connections, str, str, int],
        keys: list[str],
        streams: dict[str, Ordered],
    ) -> None:
        """`reads` is what a GroupReader takes; `keys` the component's gate and what it holds, and the groups'
        hash.
        """
        super().__init__(*reads)
        self._keys = keys
        self._streams = streams
        self._positions: dict[str, bytes] = {}

    async def wait(self, streams: list[str], most: int) -> Read:
        """Return new entries, at most `most` per stream; wait up to block_ms when there are none."""
        if any(stream not in self._positions for stream in streams):
            return await self.take(dict.fromkeys(streams, most), most * len(streams))
        positions = [self._positions[stream] for stream in streams]
        self._blocked = True
        with plain_errors(self._connections.url):
            try:
                words = ["COUNT", 1, "BLOCK", self._block, "STREAMS", *streams, *positions]
                reply = await self._client.raw("XREAD", *words)
            finally:
                self._blocked = False
        if not reply:
            self._positions.clear()  # the group may have been reset to an earlier place
            return []
        there = [stream.decode() for stream, _ in reply]
        return await self.take(dict.fromkeys(there, most), most * len(there))

    async def take(self, rooms: dict[str, int], most: int) -> Read:
        """Return new entries without waiting, at most `most`, and per stream no more than it has room for."""
        arguments: list[Any] = [self.group, self.consumer, most]
        for stream, room in rooms.items():
            channel, queue, fields = self._streams[stream]
            arguments += [room, channel, int(queue), pack_for_script(fields)]
        with plain_errors(self._connections.url):
            keys = [*self._keys, *rooms]
            reply = await call_script(self._client, "admit", keys, *arguments)
        for stream, (position, *_) in zip(rooms, reply, strict=True):
            self._positions[stream] = position
        return [(stream, entries_of(rows)) for stream, (_, *rows) in zip(rooms, reply, strict=True) if rows]

    async def reconnect(self) -> None:
        """Drop the connection, and what is known of the groups: they may have been lost."""
        self._positions.clear()
        await super().reconnect()
