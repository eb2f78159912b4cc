"""Readers: what comes back after lost replies, and what they do while there is no room."""

import asyncio

from hybrid import Processor
from hybrid.errors import ServerError, ServerUnavailable
from hybrid.streams.reads import GroupReader
from hybrid.streams.writes import Writes
from tests.runtime.messages import Noted, Pay
from tests.runtime.world import until


def counting():
    payment = Processor("payment")
    payment.done = []

    @payment.on(Pay)
    async def pay(command: Pay):
        payment.done.append(command.order)

    @payment.on(Noted)
    async def note(event: Noted):
        payment.done.append(event.text)

    return payment


async def test_deliveries_whose_reply_was_lost_are_read_again(world, monkeypatch):
    real = GroupReader.wait
    losing = [True]

    async def wait(self, streams, most):
        read = await real(self, streams, most)
        if read and losing:
            losing.clear()
            raise ServerUnavailable("the reply was lost")
        return read

    monkeypatch.setattr(GroupReader, "wait", wait)
    payment = counting()
    async with world.running(payment):
        await world.tell(*(Pay(order=f"o{n}") for n in range(20)))
        await until(lambda: world.counter("settled:payment") == 20)
    assert not losing
    assert sorted(payment.done) == sorted(f"o{n}" for n in range(20))


async def test_what_was_given_and_never_seen_is_handed_back_at_the_end(world, monkeypatch):
    """The last read's reply is lost, and the worker stops: the next one need not wait for the lease."""
    real = GroupReader.wait
    lost = []

    async def wait(self, streams, most):
        read = await real(self, streams, most)
        if read:
            lost.append(read)
            await asyncio.sleep(0.2)
            raise ServerUnavailable("the reply was lost")
        return read

    monkeypatch.setattr(GroupReader, "wait", wait)
    payment = counting()
    async with world.running(payment):
        await world.tell(Pay(order="o1"))
        await until(lambda: lost)
    monkeypatch.setattr(GroupReader, "wait", real)
    assert world.pending(world.keys.command("pay")) == 0
    async with world.running(payment):
        await until(lambda: world.counter("settled:payment") == 1)
    assert payment.done == ["o1"]


async def test_a_full_lane_waits_without_leaving_anything_behind(world):
    release = asyncio.Event()
    payment = Processor("payment")

    @payment.on(Pay, concurrency=1)
    @payment.on(Noted, concurrency=1)
    async def pay(message: Pay | Noted):
        await release.wait()

    async with world.running(payment) as client:
        await world.tell(*(Pay(order=f"o{n}") for n in range(10)))
        await client.publish_many([Noted(text=f"n{n}") for n in range(10)])
        await until(lambda: world.pending(world.keys.topic("noted"), "payment") >= 2)
        began = asyncio.get_running_loop().time()
        await until(
            lambda: asyncio.get_running_loop().time() - began > 1.2
        )  # the reader has come round twice
        assert [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "Event.wait"] == []
        release.set()
        await until(lambda: world.counter("settled:payment") == 20)


async def test_groups_that_can_not_be_restored_are_tried_again(world, monkeypatch, caplog):
    payment = counting()
    real, failing = Writes.ensure_queues, []

    async def ensure(self, streams, group):
        if failing:
            failing.pop()
            raise ServerUnavailable("away")
        return await real(self, streams, group)

    monkeypatch.setattr(Writes, "ensure_queues", ensure)
    async with world.running(payment):
        await world.tell(Pay(order="o1"))
        await until(lambda: world.counter("settled:payment") == 1)
        failing += [1, 2]
        world.raw.xgroup_destroy(world.keys.command("pay"), "hybrid")
        await world.tell(Pay(order="o2"))
        await until(lambda: payment.done == ["o1", "o2"])
    assert "groups could not be restored: away" in caplog.text


async def test_a_worker_stops_though_nothing_can_be_unblocked(world, monkeypatch):
    async def unblock(self):
        raise ServerError("not allowed")

    payment = Processor("payment")

    @payment.on(Pay, concurrency=1)
    async def pay(command: Pay):
        return None

    async with world.running(payment):
        monkeypatch.setattr(GroupReader, "unblock", unblock)
        await world.tell(*(Pay(order=f"o{n}") for n in range(20)))
        await until(lambda: world.counter("settled:payment") == 20)
