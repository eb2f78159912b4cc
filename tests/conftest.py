"""The server and the store that tests work on.

The server is `HYBRID_TEST_REDIS_URL` if that is set; else one of our own, for each process of pytest-xdist:
the wheel's Valkey, or Debian's Redis with `HYBRID_TEST_SERVER=redis`. Every test gets a store under an
application name of its own, so that tests need no FLUSHDB and may share a server.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import uvloop

from hybrid.broker.shard import Store
from hybrid.ids import new_id
from hybrid.keys import Keys
from hybrid.settings import Settings
from hybrid.streams.connection import Connections
from tests.servers import REDIS, VALKEY, spawn

pytest_plugins = ["hybrid.testing.plugin"]
BINARIES = {"valkey": VALKEY, "redis": REDIS}


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a server that is not here: a run over nothing must not look like a good one."""
    name = os.environ.get("HYBRID_TEST_SERVER", "valkey")
    if name not in BINARIES:
        raise pytest.UsageError(f"HYBRID_TEST_SERVER={name}: takes one of {', '.join(BINARIES)}")
    if not BINARIES[name].exists() and not os.environ.get("HYBRID_TEST_REDIS_URL"):
        raise pytest.UsageError(
            f"HYBRID_TEST_SERVER={name}: there is no {BINARIES[name]} (apt-get install redis-server)"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what talks to the server, and give tests that are coroutines a time limit that works."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = limited(item.obj, item)
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker("server")


def limited(test: Callable[..., Any], item: pytest.Function) -> Callable[..., Any]:
    """Return the test with its time limit: uvloop swallows what pytest-timeout raises on a signal."""
    marker = item.get_closest_marker("timeout")
    limit = (
        marker.args[0]
        if marker and marker.args
        else item.config.getoption("timeout") or item.config.getini("timeout")
    )

    @functools.wraps(test)
    async def run(*arguments: Any, **fixtures: Any) -> None:
        async with asyncio.timeout(float(limit or 60)):
            await test(*arguments, **fixtures)

    return run


def pytest_asyncio_loop_factories() -> dict[str, Any]:
    """Run tests on uvloop, as the programs run."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server that the session works on."""
    if url := os.environ.get("HYBRID_TEST_REDIS_URL"):
        yield url
        return
    binary: Path = BINARIES[os.environ.get("HYBRID_TEST_SERVER", "valkey")]
    with spawn(binary, tmp_path_factory.mktemp("server"), extra_args=("--appendonly", "yes")) as own:
        yield own.url


@pytest.fixture
def url(server: str) -> str:
    """The server's address."""
    return server


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    """Settings for tests: the session's server, and short waits."""
    return Settings.load(
        redis_url=url, directory=tmp_path, lease_ms=1000, block_ms=200, tick_ms=20, pass_on_ms=0
    )


@pytest.fixture
def fresh(url: str) -> Iterator[str]:
    """An application name that nobody has used; afterwards its keys are checked for leaks and deleted."""
    app = f"t{new_id()}"
    yield app
    leaked = swept(url, app)
    assert not leaked, f"keys without a time limit and without a place in Keys.lasting(): {leaked}"


@pytest.fixture
async def store(fresh: str, settings: Settings) -> AsyncIterator[Store]:
    """An opened store of its own."""
    store = Store(fresh, settings, settings.redis_url or "")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def raw(url: str) -> Iterator[Any]:
    """A plain synchronous client, to look and to meddle."""
    with Connections(url).threaded() as client:
        yield client


def swept(url: str, app: str) -> list[str]:
    """Delete all keys of an application; return those that would have stayed for ever without a right to."""
    patterns = Keys(app, "", 0).lasting()
    leaked = []
    with Connections(url).threaded() as client:
        for key in list(client.scan_iter(match=f"{{{app}.*", count=1000)):
            name = key.decode().partition("}:")[2]
            if client.ttl(key) == -1 and not any(fnmatchcase(name, pattern) for pattern in patterns):
                leaked.append(key.decode())
            client.unlink(key)
    return leaked
