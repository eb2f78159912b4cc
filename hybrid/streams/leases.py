"""Renewing leases, synchronously: for the thread that does it."""

from __future__ import annotations

from collections.abc import Sequence

from hybrid.streams.connection import Connections, plain_errors
from hybrid.streams.scripts import SCRIPTS


class LeaseClient:
    """Renews leases on a connection of its own."""

    def __init__(self, connections: Connections) -> None:
        self._url = connections.url
        self._client = connections.threaded()

    def renew(self, keys: Sequence[str], lease_ms: int) -> float:
        """Set the leases for so many ms, also when the server is full; return the server's time in ms.

        Raises ServerUnavailable.
        """
        with plain_errors(self._url):
            for key in keys:
                self._client.eval(SCRIPTS["anyway"].text, 1, key, "SET", "1", "PX", lease_ms)
            seconds, microseconds = self._client.time()
            return float(seconds * 1000 + microseconds / 1000)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
