"""A shard: one cell of the store, with all that is needed to work on it."""

from __future__ import annotations

from zlib import crc32

from hybrid.broker.settler import Settler
from hybrid.errors import StoreMismatch
from hybrid.ids import new_id
from hybrid.keys import Keys
from hybrid.settings import Settings
from hybrid.streams.connection import Connections
from hybrid.streams.queries import Queries
from hybrid.streams.scripts import Scripts
from hybrid.streams.writes import Writes

FORMAT = 4
"""The format of the store. A program that knows another one refuses to start."""


class Shard:
    """One hash tag of the store: its keys, and the ways to read and change what stands there."""

    def __init__(self, keys: Keys, number: int, connections: Connections) -> None:
        self.keys = keys
        self.number = number
        self.connections = connections
        self._client = connections.commands()
        self.scripts = Scripts(self._client, connections.url)
        self.queries = Queries(self._client, connections.url, keys.counters)
        self.writes = Writes(self._client, connections.url)
        self.settler = Settler(self.scripts, keys.counters)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class Store:
    """All shards of a domain."""

    def __init__(self, app: str, settings: Settings, url: str) -> None:
        self.settings = settings
        self.url = url
        self.connections = Connections(url)
        self.id = ""
        self.shards = [
            Shard(Keys(app, settings.domain, number), number, self.connections)
            for number in range(settings.shards)
        ]

    def shard_of(self, key: str) -> Shard:
        """Return the shard that a key hashes to; the same in every process and version."""
        if len(self.shards) == 1:
            return self.shards[0]
        return self.shards[crc32(key.encode()) % len(self.shards)]

    async def open(self, *, test: bool = False) -> None:
        """Create the store, or check that it was created as this program would. With `test` a new one is one
        for tests, in which time can be skipped.

        Raises StoreMismatch, ServerUnavailable.
        """
        for shard in self.shards:
            format, shards, id = await shard.scripts.store(
                shard.keys.store, FORMAT, len(self.shards), new_id(), test=test
            )
            if (format, shards) != (FORMAT, len(self.shards)):
                raise StoreMismatch(
                    f"the store {shard.keys.prefix} was created with format {format} and {shards} shard(s);"
                    f" this program has format {FORMAT} and {len(self.shards)}. Set HYBRID_SHARDS={shards},"
                    " or use another HYBRID_DOMAIN for a new store"
                )
            if shard.number == 0:
                self.id = id

    async def close(self) -> None:
        """Close all connections."""
        for shard in self.shards:
            await shard.close()
        await self.connections.close()
