"""Orphans while the server is not there, while the worker stops, and under another consumer's poison."""

import asyncio

from hybrid import Processor, RetryPolicy
from hybrid.errors import ServerUnavailable
from hybrid.streams.queries import Queries
from hybrid.streams.writes import Writes
from tests.runtime.messages import Pay
from tests.runtime.world import until


def left_by_the_dead(world, *orders):
    """Put commands on the queue, read by a consumer that is no more."""
    queue = world.keys.command("pay")
    world.raw.xgroup_create(queue, "hybrid", id="0", mkstream=True)
    world.raw.xreadgroup("hybrid", "dead", {queue: ">"})
    return queue


async def test_they_are_found_after_the_server_was_away(world, monkeypatch, caplog):
    failing = {"consumers": 2, "count_start": 2}

    def losing(cls, name):
        real = getattr(cls, name)

        async def lose(self, *arguments):
            if failing[name]:
                failing[name] -= 1
                raise ServerUnavailable("away")
            return await real(self, *arguments)

        monkeypatch.setattr(cls, name, lose)

    losing(Queries, "consumers")
    losing(Writes, "count_start")
    payment, done = Processor("payment"), []

    @payment.on(Pay)
    async def pay(command: Pay):
        done.append(command.order)

    await world.tell(*(Pay(order=f"o{n}") for n in range(3)))
    left_by_the_dead(world)
    async with world.running(payment, lease_ms=300):
        await until(lambda: world.counter("settled:payment") == 3)
    assert done == ["o0", "o1", "o2"]
    assert "looking for orphans again: away" in caplog.text
    assert "running orphans again: away" in caplog.text


async def test_they_run_one_at_a_time(world):
    running, most = [], []
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay):
        running.append(command.order)
        most.append(len(running))
        await asyncio.sleep(0.01)
        running.remove(command.order)

    await world.tell(*(Pay(order=f"o{n}") for n in range(8)))
    left_by_the_dead(world)
    async with world.running(payment, lease_ms=300):
        await until(lambda: world.counter("settled:payment") == 8)
    assert set(most) == {1}


async def test_a_consumer_that_lives_keeps_its_own(world):
    payment, done = Processor("payment"), []

    @payment.on(Pay)
    async def pay(command: Pay):
        done.append(command.order)

    await world.tell(Pay(order="theirs"))
    queue = left_by_the_dead(world)
    world.raw.set(world.keys.lease("dead"), "1", px=60_000)
    async with world.running(payment, lease_ms=200):
        await world.tell(Pay(order="ours"))
        await until(lambda: done == ["ours"])
        looked = world.raw.info("commandstats")["cmdstat_xinfo|consumers"]["calls"]
        await until(
            lambda: world.raw.info("commandstats")["cmdstat_xinfo|consumers"]["calls"] > looked + 20
        )  # more than a lease has passed
        assert world.pending(queue) == 1
        world.raw.delete(world.keys.lease("dead"))
        await until(lambda: done == ["ours", "theirs"])


async def test_those_not_started_are_handed_back_when_the_worker_stops(world):
    release, begun = asyncio.Event(), []
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay):
        begun.append(command.order)
        await release.wait()

    await world.tell(*(Pay(order=f"o{n}") for n in range(5)))
    queue = left_by_the_dead(world)
    app = world.app(payment, lease_ms=300)
    async with app.worker() as worker:
        await until(lambda: begun)
        stopping = asyncio.create_task(worker.stop())
        await until(lambda: worker._workplace.stopping)
        release.set()
        await stopping
    assert begun == ["o0"]
    assert world.pending(queue) == 0
    assert world.raw.xlen(world.keys.own("payment")) == 4
    assert world.raw.hgetall(world.keys.starts) == {}
    async with app.worker():
        await until(lambda: world.counter("settled:payment") == 5)


async def test_what_is_no_message_is_poisoned_too(world):
    payment = Processor("payment")

    @payment.on(Pay, retry=RetryPolicy(attempts=1))
    async def pay(command: Pay):
        raise NotImplementedError

    queue = world.keys.command("pay")
    entry = world.raw.xadd(queue, {"odd": "entry"}).decode()
    left_by_the_dead(world)
    world.raw.hset(world.keys.starts, f"command:pay|payment|{entry}", "3 killed")
    async with world.running(payment, lease_ms=300):
        failure = await world.failure("payment")
    assert "started 3 times without an outcome" in failure.message
    assert failure.fields == {b"odd": b"entry"}
