"""Reads that do not wait for an event loop, for tests: what a test asserts is looked up where it stands."""

from __future__ import annotations

from hybrid.streams.connection import Connections, plain_errors
from hybrid.streams.scripts import Entries


class SyncReads:
    """Reads on a connection of its own. Every method may raise ServerUnavailable or ServerError."""

    def __init__(self, connections: Connections) -> None:
        self._url = connections.url
        self._client = connections.threaded()

    def hash(self, key: str) -> dict[bytes, bytes]:
        """Return a whole hash; {} when there is none."""
        with plain_errors(self._url):
            return self._client.hgetall(key)  # type: ignore[no-any-return]

    def entries(self, stream: str) -> Entries:
        """Return all entries of a stream, oldest first."""
        with plain_errors(self._url):
            return self._client.xrange(stream)  # type: ignore[no-any-return]

    def members(self, zset: str) -> list[bytes]:
        """Return all members of a sorted set, lowest score first."""
        with plain_errors(self._url):
            return self._client.zrange(zset, 0, -1)  # type: ignore[no-any-return]

    def server_time(self) -> int:
        """Return the server's own time in ms."""
        with plain_errors(self._url):
            seconds, microseconds = self._client.time()
            return int(seconds) * 1000 + int(microseconds) // 1000

    def delete_all(self, pattern: str) -> None:
        """Delete the keys that match a pattern (glob)."""
        with plain_errors(self._url):
            for key in list(self._client.scan_iter(match=pattern, count=1000)):
                self._client.unlink(key)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
