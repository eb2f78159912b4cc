"""A world for a proof: a server of its own with an append-only file, worker processes, a load, an audit."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hybrid.app import App
from hybrid.broker.shard import Store
from hybrid.client import Client
from hybrid.settings import Settings
from tests.conftest import BINARIES
from tests.prove.audit import Audit
from tests.prove.flaky import Line, bad_line
from tests.prove.fleet import Fleet, Proc
from tests.prove.load import Load
from tests.prove.shop import application, create_tables
from tests.servers import Server, spawn

FULL = os.environ.get("HYBRID_PROVE", "short") == "full"
LEASE = 1.0
"""Seconds; short, so that the dead are missed soon."""


@dataclass(slots=True)
class World:
    """What a proof works with."""

    app: App
    server: Server
    store: Store
    client: Client
    fleet: Fleet
    load: Load
    audit: Audit
    dice: random.Random


def rounds(short: int, full: int) -> int:
    """Return how often a proof does its worst: HYBRID_PROVE=short or full."""
    return full if FULL else short


async def holding(world: World, *procs: Proc) -> bool:
    """Tell whether all these workers hold deliveries."""
    return all([await world.audit.pending_of(proc) for proc in procs])


async def until(
    what: str, condition: Callable[..., Awaitable[bool]], *given: Any, within: float = 30.0
) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within
    while not await condition(*given):
        assert time.monotonic() < deadline, f"not so within {within:g} s: {what}"
        await asyncio.sleep(0.01)


@pytest.fixture
def dice() -> random.Random:
    """Chance. A test that fails tells its seed; HYBRID_PROVE_SEED repeats it, as far as that goes."""
    seed = int(os.environ.get("HYBRID_PROVE_SEED", random.randrange(10**6)))
    sys.stdout.write(f"HYBRID_PROVE_SEED={seed}\n")
    return random.Random(seed)


@pytest.fixture
async def build(tmp_path: Path, dice: random.Random) -> AsyncIterator[Callable[..., Any]]:
    """A maker of worlds; `url` may lead the workers another way to the server, `**settings` win over ours."""
    async with AsyncExitStack() as stack:

        async def make(way: Callable[[Server], Any] | None = None, **settings: Any) -> World:
            return await stack.enter_async_context(_world(tmp_path, dice, way, settings))

        yield make


@pytest.fixture
async def world(build: Callable[..., Any]) -> World:
    """A world with the usual settings, and no worker yet."""
    return await build()


class Way:
    """Leads the workers to the server over a bad line."""

    line: Line

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    @asynccontextmanager
    async def __call__(self, server: Server) -> AsyncIterator[str]:
        async with bad_line(server, self._dice) as (url, self.line):
            yield url


@pytest.fixture
def line(dice: random.Random) -> Way:
    """A bad line, for `build`."""
    return Way(dice)


@asynccontextmanager
async def _world(
    directory: Path, dice: random.Random, way: Callable[[Server], Any] | None, changes: dict[str, Any]
) -> AsyncIterator[World]:
    logging.getLogger("hybrid").setLevel(logging.ERROR)
    create_tables(directory)
    binary = BINARIES[os.environ.get("HYBRID_TEST_SERVER", "valkey")]
    async with AsyncExitStack() as stack:
        server = stack.enter_context(spawn(binary, directory / "server", extra_args=("--appendonly", "yes")))
        values = {"lease_ms": int(LEASE * 1000), "block_ms": 500, "tick_ms": 50, "log_bytes": 256 << 20}
        values |= {"flow_entries": 1_000_000, "dedupe_ids": 1_000_000, "directory": directory, **changes}
        settings = Settings.load(redis_url=server.url, **values)
        url = await stack.enter_async_context(way(server)) if way else server.url
        environment = {f"HYBRID_{name.upper()}": str(value) for name, value in values.items()}
        environment["HYBRID_REDIS_URL"] = url
        app = application(settings)
        client = await stack.enter_async_context(app.client())
        store = await stack.enter_async_context(app.store())
        await store.open()
        fleet = Fleet(directory, environment)
        stack.callback(fleet.close)
        load = Load(client)
        stack.push_async_callback(load.abandon)
        yield World(app, server, store, client, fleet, load, Audit(app, store, load, fleet), dice)
