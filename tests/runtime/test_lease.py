"""The lease: a long handler does not cost it, a blocked loop does, and the server may be away for a while."""

import asyncio
import time

from hybrid import Processor
from hybrid.errors import ServerUnavailable
from hybrid.streams.leases import LeaseClient
from tests.runtime.messages import Pay
from tests.runtime.world import until


async def test_a_long_handler_does_not_cost_it(world):
    release = asyncio.Event()
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay):
        await release.wait()

    await world.tell(Pay(order="o1"))
    async with world.app(payment, lease_ms=200).worker() as worker, world.app(payment, lease_ms=200).worker():
        name = worker.consumer
        await until(lambda: world.pending(world.keys.command("pay")))
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 1)
        assert worker.consumer == name
        assert world.pending(world.keys.command("pay")) == 1
        release.set()
        await until(lambda: world.counter("settled:payment") == 1)
    assert world.outcomes("payment") == ["done"]


async def test_a_blocked_loop_is_noticed(world, caplog):
    async with world.app(Processor("payment"), lease_ms=200).worker() as worker:
        name = worker.consumer
        time.sleep(1.0)  # noqa: ASYNC251
        assert not world.raw.exists(world.keys.lease(name))
        await until(lambda: worker.consumer != name)
        await until(lambda: world.raw.exists(world.keys.lease(worker.consumer)))
        await until(lambda: worker.consumer in world.consumers())
    assert "the event loop has stood still for" in caplog.text
    assert f"the lease of {name} was lost" in caplog.text


async def test_a_short_absence_of_the_server_does_not_cost_it(world, monkeypatch, caplog):
    real, failing = LeaseClient.renew, []

    def renew(self, keys, lease_ms):
        if failing:
            failing.pop()
            raise ServerUnavailable("away")
        return real(self, keys, lease_ms)

    monkeypatch.setattr(LeaseClient, "renew", renew)
    async with world.app(Processor("payment"), lease_ms=600).worker() as worker:
        name = worker.consumer
        failing += [1, 2]
        await until(lambda: not failing)
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 0.6)
        assert worker.consumer == name
    assert caplog.text.count("the lease could not be renewed: away") == 2


async def test_a_long_absence_costs_it_and_the_enrolment_is_tried_again(world, monkeypatch, caplog):
    from hybrid.streams.writes import Writes

    real, real_enrol, failing = LeaseClient.renew, Writes.enrol, []

    def renew(self, keys, lease_ms):
        if failing:
            raise ServerUnavailable("away")
        return real(self, keys, lease_ms)

    async def enrol(self, consumers, consumer, facts):
        if failing:
            raise ServerUnavailable("away")
        await real_enrol(self, consumers, consumer, facts)

    monkeypatch.setattr(LeaseClient, "renew", renew)
    monkeypatch.setattr(Writes, "enrol", enrol)
    async with world.app(Processor("payment"), lease_ms=200).worker() as worker:
        name = worker.consumer
        failing.append(True)
        await until(lambda: worker.consumer != name)
        await until(lambda: "enrolling again: away" in caplog.text)
        failing.clear()
        await until(lambda: worker.consumer in world.consumers())
