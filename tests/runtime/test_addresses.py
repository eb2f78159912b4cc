"""A worker on the kinds of servers that an address may name: a cluster, a master that a sentinel watches."""

import subprocess
import time

import pytest
import redis

from hybrid import HARD, App, Flow, Mediator, Processor, Settings, SimpleMediator, hours, seconds
from hybrid.broker.recurring import Plan, tick_id
from hybrid.errors import ServerUnavailable
from hybrid.inspect import scheduled, schedules
from hybrid.streams.connection import url_shown
from tests.runtime.messages import Completed, Paid, Pay, Place
from tests.runtime.world import until
from tests.servers import VALKEY, free_port, spawn

CLUSTER = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))


@pytest.fixture
def shop():
    """Orders that are paid."""
    front, orders, payment = SimpleMediator("front"), Mediator("orders", handles=HARD), Processor("payment")

    @front.classify(Place, HARD)
    def rule(event):
        return HARD

    @orders.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order), timeout=20)
        return Completed(order=event.order)

    @payment.on(Pay)
    async def pay(command: Pay) -> Paid:
        return Paid(order=command.order)

    @payment.on(Completed)
    async def hear(event: Completed):
        return None

    return front, orders, payment


async def order_ten(url, shop, **changes):
    """Run ten orders to their end."""
    settings = Settings.load(redis_url=url, lease_ms=1000, block_ms=200, tick_ms=20, **changes)
    async with App("shop", shop, settings=settings).running() as client:
        for receipt in await client.send_many([Place(order=f"o{n}") for n in range(10)]):
            assert (await client.wait(receipt.id)).state == "completed"


async def order_later(url, shop, **changes):
    """Run orders that are sent later and at ticks, and take some back."""
    settings = Settings.load(redis_url=url, lease_ms=1000, block_ms=200, tick_ms=20, **changes)
    app = App("shop", shop, settings=settings)
    async with app.running() as client, app.store() as store:
        for n in range(10):
            await client.send(Place(order=f"p{n}"), id=f"p{n}", after=hours(1))
        assert [await scheduled.cancel(store, f"p{n}") for n in range(10)] == [True] * 10
        soon = await client.send(Place(order="q"), after=seconds(0.1))
        assert (await client.wait(soon.id)).state == "completed"
        added = await schedules.add(store, app.topology, "s", Place(order="s"), Plan("* * * * * *"))
        assert (await client.wait(tick_id("s", added.tick))).state == "completed"
        assert [each.name for each in await schedules.schedules(store)] == ["s"]
        assert await scheduled.scheduled_messages(store, app.topology) == []
        assert await schedules.remove(store, "s")


async def test_a_cluster(shop, tmp_path):
    with spawn(VALKEY, tmp_path, tcp=True, extra_args=CLUSTER) as server:
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            await until(lambda: client.cluster("info")["cluster_state"] == "ok")
        address = server.url.replace("redis://", "redis+cluster://")
        await order_ten(address, shop, shards=3)
        await order_later(address, shop, shards=3)


async def test_a_master_that_a_sentinel_watches(shop, tmp_path):
    port = free_port()
    with spawn(VALKEY, tmp_path / "master", tcp=True) as server:
        master = server.url.rpartition(":")[2]
        config = tmp_path / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor books 127.0.0.1 {master} 1\n"
        )
        sentinel = subprocess.Popen([VALKEY, config, "--sentinel"], stdout=subprocess.DEVNULL)
        try:
            with redis.Redis(port=port) as client:
                await until(lambda: answers(client))
            await order_ten(f"redis+sentinel://127.0.0.1:{port}/books", shop)
        finally:
            sentinel.kill()
            sentinel.wait()


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379", "redis://localhost:6379"),
        ("rediss://ann:pw@host:1/2", "rediss://ann:***@host:1/2"),
        ("redis://:pw@host", "redis://:***@host"),
        ("unix:///run/s.sock?password=pw&db=1", "unix:///run/s.sock?password=***&db=1"),
    ],
)
def test_an_address_is_shown_without_its_password(url, shown):
    assert url_shown(url) == shown


async def test_nobody_there_is_told_at_start(shop):
    began = time.monotonic()
    with pytest.raises(ServerUnavailable, match="no connection to Redis at redis://127.0.0.1:1"):
        await order_ten("redis://127.0.0.1:1", shop)
    assert time.monotonic() - began < 10
