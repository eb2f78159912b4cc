"""The schedule: what is due fires once, whoever looks."""

import asyncio
import time

import pytest

from hybrid import HARD, Context, Flow, Mediator, Processor, RetryPolicy, SimpleMediator, StepTimeout
from hybrid.errors import ServerUnavailable
from hybrid.runtime import schedule
from tests.runtime.messages import Completed, Pay, Place
from tests.runtime.world import until


async def test_many_retries_fire_once_with_several_looking(world, monkeypatch):
    monkeypatch.setattr(schedule, "MOST", 7)  # more than one round
    attempts = []
    payment = Processor("payment")

    @payment.on(Pay, retry=RetryPolicy(attempts=2, first_ms=1))
    async def pay(command: Pay, context: Context):
        attempts.append((command.order, context.attempt))
        if context.attempt == 1:
            raise ValueError("again")

    app = world.app(payment)
    await world.tell(*(Pay(order=f"o{n}") for n in range(50)))
    async with app.worker(), app.worker(), app.worker():
        await until(lambda: world.counter("settled:payment") == 50)
    assert sorted(attempts) == sorted((f"o{n}", attempt) for n in range(50) for attempt in (1, 2))


async def test_timeouts_fire_once_with_several_looking(world):
    front, orders = SimpleMediator("front"), Mediator("orders", handles=HARD)
    began = time.time()

    @front.classify(Place, HARD)
    def rule(event):
        return HARD

    @orders.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        late = 0
        for step in [flow.do(Pay(order=str(n)), timeout=0.2) for n in range(5)]:
            try:
                await step
            except StepTimeout:
                late += 1
        return Completed(order=f"{late} late")

    app = world.app(front, orders)
    async with app.running() as client, app.worker(), app.worker():
        receipts = await client.send_many([Place(order=f"o{n}") for n in range(10)])
        for receipt in receipts:
            assert (await client.wait(receipt.id)).event == Completed(order="5 late")
    assert time.time() - began >= 0.2
    assert len(world.broadcasts(Completed)) == 10
    assert world.raw.zcard(world.keys.timers) == 0


@pytest.mark.filterwarnings("default")
async def test_it_goes_on_after_the_server_was_away(world, monkeypatch, caplog):
    real = schedule.Schedule._fire
    rounds = []

    async def fire(self):
        rounds.append(self)
        if len(rounds) < 3:
            raise ServerUnavailable("away")
        return await real(self)

    monkeypatch.setattr(schedule.Schedule, "_fire", fire)
    async with world.running(Processor("payment")):
        await until(lambda: len(rounds) > 4)
    assert caplog.text.count("looking for due timers again: away") == 2
    await asyncio.sleep(0)
