"""Connections to Redis: how clients are built, and what their errors mean to us.

redis-py retries ten times by default, XADD and EVALSHA too, which doubles messages; and cuts blocking reads
after five seconds. So: no retries (we repeat what is idempotent, ourselves), and blocking reads on
connections of their own.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from hybrid.errors import ServerError, ServerUnavailable
from hybrid.streams.link import Client

_GONE = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, redis.ReadOnlyError, OSError)

_WAIT = (redis.exceptions.OutOfMemoryError, redis.exceptions.ClusterDownError, redis.exceptions.TryAgainError)
_WAIT_WORDS = ("OOM", "MISCONF", "LOADING", "READONLY", "NOREPLICAS", "BUSY ")
"""Answers that say: not now. Those with a class of their own have lost their first word."""

AT_ONCE = 200
"""How many commands of one client are under way at the same time; the others wait."""


class Connections:
    """Builds the clients of one Redis address.

    `redis://`, `rediss://` and `unix://` are a single server, `redis+cluster://host:port` a cluster and
    `redis+sentinel://host:port,host:port/service` a master that sentinels watch.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.cluster = url.startswith("redis+cluster://")
        self._sentinel: Any = None

    def commands(self) -> Client:
        """Return a client for scripts and short commands."""
        return Client(self._plain(15.0), 15.0, cluster=self.cluster)

    def blocking(self, block_ms: int) -> Client:
        """Return a client for one blocking read at a time of at most block_ms."""
        seconds = block_ms / 1000 + 10
        return Client(self._plain(seconds), seconds, cluster=self.cluster, shared=False)

    def threaded(self) -> Any:
        """Return a synchronous client, for the thread that renews the lease."""
        options = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0, "retry": Retry(NoBackoff(), 0)}
        if self.cluster:
            return redis.RedisCluster.from_url(self.url.replace("redis+cluster", "redis"), **options)
        if self.url.startswith("redis+sentinel://"):
            hosts, service = _sentinels(self.url)
            sentinel: Any = redis.Sentinel(hosts, **options)  # type: ignore[no-untyped-call]
            return sentinel.master_for(service)
        return redis.Redis.from_url(self.url, **options)

    async def close(self) -> None:
        """Close the connections to sentinels. The clients are closed by those who asked for them."""
        for client in self._sentinel.sentinels if self._sentinel else ():
            await client.aclose()

    def _plain(self, socket_timeout: float) -> Any:
        retry = redis.asyncio.retry.Retry(NoBackoff(), 0)
        options: dict[str, Any] = {
            "socket_timeout": socket_timeout,
            "socket_connect_timeout": 5.0,
            "protocol": 2,
        }
        if self.cluster:
            cluster = RedisCluster.from_url(self.url.replace("redis+cluster", "redis"), **options)
            for command in ("XRANGE", "XREVRANGE", "XREAD", "XREADGROUP"):
                cluster.set_response_callback(command, _as_it_comes)  # type: ignore[arg-type]
            return cluster
        if self.url.startswith("redis+sentinel://"):
            hosts, service = _sentinels(self.url)
            self._sentinel = self._sentinel or Sentinel(hosts, socket_timeout=5.0)  # type: ignore[no-untyped-call]
            return self._sentinel.master_for(service, retry=retry, **options)
        return redis.asyncio.Redis.from_url(self.url, retry=retry, **options)


def _as_it_comes(reply: Any, **options: Any) -> Any:
    """Leave a reply as a link would give it."""
    return reply


class PlainErrors:
    """Turns redis-py's errors into ours: ServerUnavailable when there is no connection, else ServerError."""

    __slots__ = ("url",)

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            return
        place = f"Redis at {url_shown(self.url)}"
        if isinstance(error, _GONE):
            text = str(error) or type(error).__name__
            raise ServerUnavailable(f"no connection to {place}: {text}") from error
        if isinstance(error, redis.RedisError):
            if isinstance(error, _WAIT) or str(error).startswith(_WAIT_WORDS):
                raise ServerUnavailable(f"{place} takes nothing now: {error}") from error
            raise ServerError(f"{place} answered: {error}") from error


plain_errors = PlainErrors


async def cancelled(tasks: Iterable[asyncio.Task[Any]], seconds: float = 10.0) -> None:
    """Cancel tasks until they have ended, for at most so many seconds.

    Once is not enough: redis-py sends inside `asyncio.wait_for`, which on Python 3.11 drops a cancellation
    that comes when the sending is just done (cpython issue 86296).
    """
    left, deadline = set(tasks), time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)


def url_shown(url: str) -> str:
    """Return an address without its password."""
    url = re.sub(r"(?<=[?&]password=)[^&]*", "***", url)
    scheme, _, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}://{credentials.partition(':')[0]}:***@{host}" if at else url


def _sentinels(url: str) -> tuple[list[tuple[str, int]], str]:
    """Return the hosts and the service of redis+sentinel://host:port,host:port/service."""
    places, _, service = url.partition("://")[2].partition("/")
    hosts = [place.rpartition(":") for place in places.split(",")]
    return [(host, int(port)) for host, _, port in hosts], service or "mymaster"
