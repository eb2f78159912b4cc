"""Connections that are cut, and replies that are lost, while work goes on."""

from __future__ import annotations

import asyncio

import pytest

from hybrid.streams.connection import Connections
from hybrid.streams.reads import GroupReader
from hybrid.streams.scripts import SCRIPTS
from tests.prove.conftest import World, holding, rounds, until

pytestmark = pytest.mark.prove


async def test_connections_are_cut_in_bursts(world: World) -> None:
    """CLIENT KILL of everybody, in bursts, again and again: what was read and not seen is found."""
    await world.fleet.start(count=2)
    await world.load.send(40)
    world.load.begin()
    with Connections(world.server.url).threaded() as raw:
        for _ in range(rounds(10, 40)):
            for _ in range(world.dice.randrange(1, 6)):
                raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await asyncio.sleep(world.dice.uniform(0, 0.05))
            await asyncio.sleep(world.dice.uniform(0, 0.8))
    await world.load.end()
    await world.audit.clean()


async def test_a_connection_breaks_while_idle(world: World) -> None:
    """It is noticed, and replaced without a word; a read on the new one can be ended all the same."""
    connections = Connections(world.server.url)
    source = GroupReader(connections, "group", "me", block_ms=30_000)
    with connections.threaded() as raw:
        raw.xgroup_create("stream", "group", mkstream=True)
        assert await source.take({"stream": 1}, 1) == []
        raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        reading = asyncio.create_task(source.wait(["stream"], 1))

        async def waits() -> bool:
            return bool(raw.info("clients")["blocked_clients"])

        await until("it waits", waits)
        await asyncio.wait_for(source.unblock(), 5)
        assert await asyncio.wait_for(reading, 5) == []
    await source.close()


async def test_replies_are_lost(build, line) -> None:
    """Single connections are cut at any moment, also between a request and its reply."""
    world = await build(way=line)
    await world.fleet.start(count=2)
    line.line.rate = 0.01
    await world.load.send(40)
    world.load.begin()
    await asyncio.sleep(rounds(10, 40))
    world.fleet.all[0].kill9()
    world.fleet.tend()
    await asyncio.sleep(rounds(3, 10))
    await world.load.end()
    line.line.rate = 0.0
    assert line.line.cuts > 20
    await world.audit.clean()


@pytest.mark.parametrize("what", ["XREADGROUP", "settle", "take", "takeover", "load", "due", "anyway"])
async def test_replies_to_one_request_are_lost(build, line, what: str) -> None:
    """The server does what it is asked for, and who asked does not hear of it, often."""
    world = await build(way=line)
    await world.fleet.start(count=2)
    line.line.word = (SCRIPTS[what].sha if what in SCRIPTS else what).encode()
    line.line.rate = 0.5 if what in SCRIPTS else 0.1
    await world.load.send(rounds(40, 200))
    await until("the workers hold work", holding, world, *world.fleet.all)
    world.fleet.all[0].kill9()
    world.fleet.tend()
    await world.audit.ended()
    line.line.rate = 0.0
    assert line.line.cuts
    await world.audit.clean()
