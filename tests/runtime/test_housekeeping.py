"""Housekeeping: topics and flows are kept bounded, and what is not settled is not lost."""

import asyncio

import pytest

from hybrid import HARD, Flow, Mediator, Processor, SimpleMediator
from hybrid.errors import ServerUnavailable, UnknownFlow
from hybrid.runtime import housekeeping
from tests.runtime.messages import Completed, Noted, Paid, Pay, Place, Renamed
from tests.runtime.world import until


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(housekeeping, "EACH", 0.05)


async def test_a_topic_is_kept_bounded_and_nothing_unsettled_is_lost(world, caplog):
    release = asyncio.Event()
    fast, slow, heard = Processor("fast"), Processor("slow"), []

    @fast.on(Noted)
    async def note(event: Noted):
        return None

    @slow.on(Noted, concurrency=100)
    async def wait(event: Noted):
        await release.wait()
        heard.append(event.text)

    async with world.running(fast, slow, topic_entries=10) as client:
        await client.publish_many([Noted(text=f"n{n}") for n in range(300)])
        await until(lambda: world.counter("settled:fast") == 300)
        topic = world.keys.topic("noted")
        mark = "mark:topic:noted|fast"
        await until(
            lambda: world.raw.hget(world.keys.groups, mark) == world.raw.xrevrange(topic, count=1)[0][0]
        )
        assert world.raw.xlen(topic) == 300  # one has not had them
        release.set()
        await until(lambda: world.raw.xlen(topic) == 10)
        assert sorted(heard) == sorted(f"n{n}" for n in range(300))
    assert world.counter("cut:slow") == 0


async def test_the_log_of_the_desk_is_bounded_by_number_and_not_by_age(world, monkeypatch):
    monkeypatch.setattr(housekeeping, "DESK_LOG", 5)
    log = world.keys.desk_log
    for n in range(1, 9):
        world.raw.xadd(log, {"e": "x"}, id=f"{n}-0")
    async with world.running(Processor("fast"), topic_ms=1000):
        await until(lambda: world.raw.xlen(log) == 5)
    assert world.raw.xrange(log)[0][0] == b"4-0"


async def test_what_nobody_listens_to_is_bounded_too(world):
    front = SimpleMediator("front")

    @front.on(Renamed)
    def renamed(event):
        return Noted(text=event.customer)

    async with world.running(front, topic_entries=5) as client:
        await client.send_many([Renamed(customer=f"c{n}") for n in range(2500)])
        await until(lambda: world.counter("entered:topic:noted") == 2500)
        await until(lambda: world.raw.xlen(world.keys.topic("noted")) == 5)


async def test_a_topic_is_bounded_by_bytes_and_by_age(world):
    mail = Processor("mail")

    @mail.on(Noted | Paid)
    async def note(event: Noted | Paid):
        return None

    async with world.running(mail, topic_bytes=1 << 16, topic_ms=1000) as client:
        await client.publish_many([Noted(text="n" * 1000) for _ in range(300)])
        await until(lambda: world.raw.memory_usage(world.keys.topic("noted")) < 80_000)
        assert world.raw.xlen(world.keys.topic("noted")) > 10
        await client.publish(Paid(order="o1"))
        await until(lambda: world.raw.xlen(world.keys.topic("paid")) == 0)


async def test_beyond_the_hard_limit_it_is_cut_and_told(world, caplog):
    release = asyncio.Event()
    slow = Processor("slow")
    heard = []

    @slow.on(Noted, concurrency=2)
    async def wait(event: Noted):
        await release.wait()
        heard.append(event.text)

    async with world.running(slow, topic_entries=5, topic_hard_entries=50) as client:
        await client.publish_many([Noted(text=f"n{n}") for n in range(200)])
        await until(lambda: world.counter("cut:slow"))
        release.set()
        await until(lambda: world.raw.xlen(world.keys.topic("noted")) == 5)
        await until(lambda: world.counter("cut:slow") + world.counter("settled:slow") == 200)
    assert "unsettled deliveries were cut at the hard limit (HYBRID_TOPIC_HARD_ENTRIES)" in caplog.text
    assert "n199" in heard


async def test_the_turn_of_what_is_cut_goes_on_to_the_next_of_its_key(world):
    release, heard = asyncio.Event(), []
    slow = Processor("slow")

    @slow.on(Completed, ordered_by="order")
    async def wait(event: Completed):
        await release.wait()
        heard.append(event.order)

    names = ["o1", "o1", *(f"x{n}" for n in range(60)), "alone"]
    async with world.running(slow, topic_entries=5, topic_hard_entries=30) as client:
        await client.publish(Completed(order="first"))
        await client.publish_many([Completed(order=name) for name in names])
        await until(lambda: world.counter("cut:slow"))
        release.set()
        await until(lambda: world.counter("cut:slow") + world.counter("settled:slow") == len(names) + 1)
        assert heard.count("o1") >= 1
        await client.publish(Completed(order="o1"))
        await client.publish(Completed(order="first"))
        await until(lambda: heard[-1] == "first" and not world.raw.exists(world.keys.held("slow")))
        await until(lambda: not world.raw.exists(world.keys.gate("slow")))


async def test_nothing_is_trimmed_while_a_group_is_missing(world, caplog):
    """Its worker is down and its group is gone: what it has not had stays."""
    mail, points = Processor("mail"), Processor("points")

    @mail.on(Noted)
    @points.on(Noted)
    async def note(event: Noted):
        return None

    app = world.app(mail, points, topic_entries=3)
    async with app.running():
        pass
    world.raw.xgroup_destroy(world.keys.topic("noted"), "points")
    async with app.running("mail") as client:
        await client.publish_many([Noted(text=f"n{n}") for n in range(20)])
        await until(lambda: world.counter("settled:mail") == 20)
        await until(lambda: "topic:noted is not trimmed: a registered group is missing" in caplog.text)
        assert world.raw.xlen(world.keys.topic("noted")) == 20
    async with app.running("points"):
        await until(lambda: world.counter("settled:points") == 20)
        await until(lambda: world.raw.xlen(world.keys.topic("noted")) == 3)


async def test_ended_flows_are_forgotten_and_unfinished_ones_are_not(world):
    front, orders, payment = SimpleMediator("front"), Mediator("orders", handles=HARD), Processor("payment")
    release = asyncio.Event()

    @front.classify(Place, HARD)
    def rule(event):
        return HARD

    @front.on(Renamed)
    def renamed(event):
        return None

    @orders.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        if event.order == "bad":
            raise ValueError("a failed flow")
        await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    @payment.on(Pay, concurrency=100)
    async def pay(command: Pay):
        if command.order == "slow":
            await release.wait()

    async with world.running(front, orders, payment, flow_entries=5) as client:
        await client.send(Place(order="slow"), id="slow")
        await client.send(Place(order="bad"), id="bad")
        receipts = await client.send_many([Place(order=f"o{n}") for n in range(40)])
        await client.send_many([Renamed(customer="c")] * 10)
        await until(lambda: world.counter("settled:payment") == 40)

        def kept():
            return {key.decode().rpartition(":")[2] for key in world.raw.keys(f"{world.keys.prefix}flow:*")}

        await until(lambda: len(kept()) <= 2 + 5 and world.raw.xlen(world.keys.outcomes) <= 5)
        assert {"slow", "bad"} <= kept()
        histories = world.raw.keys(f"{world.keys.prefix}history:*")
        assert len(histories) == len(kept())
        gone = next(receipt.id for receipt in receipts if receipt.id not in kept())
        with pytest.raises(UnknownFlow):
            await client.record(gone)
        release.set()
        assert (await client.wait("slow")).event == Completed(order="slow")


async def test_ended_flows_are_forgotten_after_their_time(world):
    front, orders = SimpleMediator("front"), Mediator("orders", handles=HARD)

    @front.classify(Place, HARD)
    def rule(event):
        return HARD

    @orders.flow(Place)
    async def place(event: Place, flow: Flow):
        return None

    async with world.running(front, orders, flow_ms=1000) as client:
        await client.send(Place(order="o1"), id="f1")
        await client.wait("f1")
        await until(lambda: not world.raw.exists(world.keys.flow("f1"), world.keys.history("f1")))
        assert world.raw.xlen(world.keys.outcomes) == 0


async def test_it_goes_on_after_the_server_was_away(world, store, monkeypatch, caplog):
    rounds = []

    async def once(self):
        rounds.append(self)
        if len(rounds) == 1:
            raise ServerUnavailable("away")

    monkeypatch.setattr(housekeeping.Housekeeping, "once", once)
    mail = Processor("mail")
    async with world.running(mail):
        await until(lambda: len(rounds) > 2)
    assert "housekeeping again: away" in caplog.text
