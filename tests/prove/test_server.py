"""A server that dies, comes back, and is full, while work goes on."""

from __future__ import annotations

import asyncio

import pytest

from hybrid.errors import ServerUnavailable
from hybrid.streams.connection import Connections
from tests.prove.conftest import LEASE, World, rounds, until
from tests.prove.shop import PlaceOrder

pytestmark = pytest.mark.prove


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
async def test_server_is_killed(world: World, torn: bool) -> None:
    """kill -9 of the server under load; it comes back soon or after all leases, also with a torn file.

    What a torn file lost is sent again; what the workers know is settled, and the server does not, too.
    """
    await world.fleet.start(count=2)
    await world.load.send(40)
    world.load.begin()
    for n in range(rounds(3, 10)):
        await asyncio.sleep(world.dice.uniform(0.5, 1.5))  # any moment is as good
        world.server.kill9()
        if torn:
            tear(world, world.dice.randrange(1, 600))
        await asyncio.sleep(world.dice.choice([0.0, 0.3, LEASE * 1.5]) if n else LEASE * 1.5)
        await asyncio.to_thread(come_back, world)
    await world.load.end()
    last = world.load.orders[-5:]
    outcomes = await asyncio.gather(*(world.client.wait(order.id, timeout=60) for order in last))
    assert [outcome.state for outcome in outcomes] == [order.state for order in last]
    await world.audit.clean()


async def test_a_short_outage_makes_nobody_dead(build) -> None:
    """The server is back before any lease is over: everybody goes on, under the same name."""
    world = await build(lease_ms=8_000)
    await world.fleet.start(count=2)
    await world.load.send(40)
    world.load.begin()
    names = set(await world.audit.consumers())
    for _ in range(rounds(2, 6)):
        await asyncio.sleep(world.dice.uniform(0.3, 1))  # any moment is as good
        world.server.kill9()
        await asyncio.to_thread(come_back, world)
    await world.load.end()
    await world.audit.clean()
    assert set(await world.audit.consumers()) == names
    assert not [proc for proc in world.fleet.all if "took over" in proc.log.read_text()]


async def test_out_of_memory(world: World) -> None:
    """A full server refuses sends; what is there is drained, by new workers too, and what the killed had."""
    await world.fleet.start(count=2)
    await world.load.send(rounds(120, 500))
    with Connections(world.server.url).threaded() as raw:
        used = raw.info("memory")["used_memory"]
        raw.config_set("maxmemory", used // 2)
        with pytest.raises(ServerUnavailable):
            await world.client.send(PlaceOrder(order_id="refused"))
        world.fleet.all[0].kill9()
        await world.fleet.start()
        world.fleet.all[1].kill9()
        await world.audit.quiet()
        with pytest.raises(ServerUnavailable):
            await world.client.send(PlaceOrder(order_id="refused"))
        raw.config_set("maxmemory", 0)
    await world.load.send(20)
    await world.audit.clean()


async def test_a_full_server_is_trimmed(build) -> None:
    """Topics keep to their limits also when the server is full: that is what makes room again."""
    world = await build(topic_entries=10)
    (worker,) = await world.fleet.start()
    worker.freeze()
    await world.load.send(60)
    with Connections(world.server.url).threaded() as raw:
        raw.config_set("maxmemory", raw.info("memory")["used_memory"] // 2)
        worker.thaw()
        await world.audit.quiet()
        shard = world.store.shards[0]
        topics = [shard.keys.topic(cls.type_name) for cls in world.app.topology.catalog]

        async def trimmed() -> bool:
            return max(await shard.queries.lengths(topics)) <= 10

        await until("no topic has more than its limit", trimmed)
        assert raw.xinfo_stream(shard.keys.topic("order-created"))["entries-added"] == 60
        raw.config_set("maxmemory", 0)
    await world.load.send(5)
    await world.audit.quiet()


def come_back(world: World) -> None:
    """Start the server again, and let it write its file anew, as the embedded one does."""
    world.server.restart()
    with Connections(world.server.url).threaded() as raw:
        raw.bgrewriteaof()


def tear(world: World, size: int) -> None:
    """Cut the end off the append-only file, as a power cut does."""
    folder = world.server.directory / "appendonlydir"
    last = max(folder.glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    with last.open("rb+") as file:
        file.truncate(max(0, last.stat().st_size - size))
