"""Workers: starting, stopping, several at once, shards, lost groups, another store."""

import asyncio
import logging
import time

import pytest

from hybrid import HARD, App, Flow, Mediator, Processor, RetryPolicy, SimpleMediator, resource
from hybrid.broker.shard import Store
from hybrid.errors import ApplicationError, ServerUnavailable, StoreMismatch
from hybrid.runtime.worker import Worker
from tests.runtime.messages import Completed, Noted, Paid, Pay, Place, Ship, Shipped
from tests.runtime.world import until


@pytest.fixture
def shop():
    """Orders that are paid and shipped; and somebody who listens."""
    front, orders = SimpleMediator("front"), Mediator("orders", handles=HARD)
    shop, mail = Processor("shop"), Processor("mail")
    shop.heard = []

    @front.classify(Place, HARD)
    def rule(event):
        return HARD

    @orders.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.all(Pay(order=event.order), Ship(order=event.order), timeout=20)
        return Completed(order=event.order)

    @shop.on(Pay)
    async def pay(command: Pay) -> Paid:
        return Paid(order=command.order)

    @shop.on(Ship)
    def ship(command: Ship) -> Shipped:
        return Shipped(order=command.order)

    @mail.on(Paid | Completed)
    async def tell(event: Paid | Completed):
        shop.heard.append((type(event), event.order))

    return front, orders, shop, mail


async def test_several_shards(world, shop, raw):
    app = world.app(*shop, shards=4)
    heard = shop[2].heard
    async with app.running() as client, app.worker():
        receipts = await client.send_many([Place(order=f"o{n}") for n in range(40)])
        for n, receipt in enumerate(receipts):
            assert (await client.wait(receipt.id)).event == Completed(order=f"o{n}")
            shard, record = await client.record(receipt.id)
            assert record.state == "completed"
            assert raw.exists(shard.keys.flow(receipt.id), shard.keys.history(receipt.id)) == 2
        await until(lambda: len(heard) == 80)
    assert len(set(heard)) == 80
    per_shard = [len(raw.xrange(f"{{{world.name}.main.{n}}}:topic:completed")) for n in range(4)]
    assert sum(per_shard) == 40
    assert min(per_shard) > 0
    for n in range(4):  # what a flow caused stayed in its shard
        prefix = f"{{{world.name}.main.{n}}}:"
        flows = raw.keys(f"{prefix}flow:*")
        assert (
            len(flows)
            == per_shard[n]
            == raw.xlen(f"{prefix}topic:paid")
            == raw.xlen(f"{prefix}topic:shipped")
        )


async def test_another_number_of_shards_is_refused(world, shop):
    async with world.app(*shop, shards=2).worker():
        pass
    for other in (1, 4):
        with pytest.raises(
            StoreMismatch, match=r"was created with format \d and 2 shard\(s\).* HYBRID_SHARDS=2"
        ):
            async with world.app(*shop, shards=other).worker():
                pass


async def test_a_worker_of_some_components(world, shop):
    app = world.app(*shop)
    async with app.worker(["front", "orders"]) as one, app.client() as client:
        assert one.names == ["front", "orders"]
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits == {1, 2})
        async with app.worker(["shop"]):
            assert (await client.wait("f1")).state == "completed"
    assert shop[2].heard == []


async def test_an_unknown_component_is_told_with_those_that_there_are(world, shop):
    with pytest.raises(
        ApplicationError, match="no component is called shipping; there are: front, orders, shop, mail"
    ):
        async with world.app(*shop).running("shipping"):
            pass


async def test_a_worker_says_what_it_serves_and_leaves_without_a_trace(world, shop):
    async with world.app(*shop).worker(["shop"]) as worker:
        ((host, _, names, since),) = world.consumers().values()
        assert names == ["shop"]
        assert host
        assert abs(since / 1000 - time.time()) < 60
        assert world.raw.exists(world.keys.lease(worker.consumer))
        assert not worker.stopped.is_set()
    assert worker.stopped.is_set()
    assert world.consumers() == {}
    assert not world.raw.exists(world.keys.lease(worker.consumer))
    await worker.stop()  # again


async def test_a_stop_lets_handlers_end_and_hands_back_what_has_not_begun(world):
    begun, done = [], []
    release = asyncio.Event()

    def processor(instant):
        payment = Processor("payment")

        @payment.on(Pay, concurrency=2)
        async def pay(command: Pay) -> Paid:
            begun.append(command.order)
            if not instant:
                await release.wait()
            done.append(command.order)
            return Paid(order=command.order)

        return payment

    await world.tell(*(Pay(order=f"o{n}") for n in range(10)), correlation="c")
    app = world.app(processor(instant=False))
    async with app.store() as store:
        worker = Worker(app.topology, [], store)
        await worker.__aenter__()
        await until(lambda: len(begun) == 2 and world.pending(world.keys.command("pay")) >= 3)
        stopping = asyncio.create_task(worker.stop())
        await until(lambda: worker._workplace.stopping)
        release.set()
        await stopping
    assert len(done) == 2
    assert world.pending(world.keys.command("pay")) == 0  # nobody has to wait for the lease
    assert world.raw.xlen(world.keys.command("pay")) + world.raw.xlen(world.keys.own("payment")) == 8
    began = time.monotonic()
    async with world.app(processor(instant=True)).running():
        await until(lambda: world.counter("settled:payment") == 10)
    assert time.monotonic() - began < 1.0  # less than the lease
    assert sorted(done) == sorted(f"o{n}" for n in range(10))
    assert world.counter("entered:own:payment") == 0


async def test_a_handler_that_does_not_end_is_cancelled_and_done_by_another(world):
    done = []

    def processor(stubborn):
        payment = Processor("payment")

        @payment.on(Pay)
        async def pay(command: Pay):
            if stubborn:
                done.append("begun")
                await asyncio.sleep(60)
            done.append(command.order)

        return payment

    await world.tell(Pay(order="o1"))
    async with world.app(processor(True), stop_ms=50).running():
        await until(lambda: done)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    async with world.app(processor(False)).running():
        await until(lambda: world.counter("settled:payment") == 1)
    assert done == ["begun", "o1"]
    assert world.raw.hgetall(world.keys.starts) == {}


async def test_a_stop_is_quick(world, shop):
    for _ in range(10):
        async with world.app(*shop).running() as client:
            await client.send(Place(order="o1"))
            began = time.monotonic()
        assert time.monotonic() - began < 2


async def test_lost_groups_are_made_again_at_their_marks(world, shop, caplog):
    app = world.app(*shop, topic_entries=3)
    heard = shop[2].heard
    async with app.running() as client:
        for n in range(10):
            await client.publish(Paid(order=f"before {n}"))
        await until(lambda: len(heard) == 10)
        await until(lambda: world.raw.xlen(world.keys.topic("paid")) == 3)  # the mark has moved
        world.raw.xgroup_destroy(world.keys.topic("paid"), "mail")
        world.raw.xgroup_destroy(world.keys.command("pay"), "hybrid")
        await client.publish(Paid(order="after"))
        receipt = await client.send(Place(order="o1"))
        assert (await client.wait(receipt.id)).state == "completed"
        await until(lambda: (Paid, "after") in heard and (Paid, "o1") in heard)
    assert heard.count((Paid, "after")) == 1
    assert not any(heard.count((Paid, f"before {n}")) > 1 for n in range(7))  # those before the mark
    assert "group mail of topic:paid was lost; it goes on at its low-water mark" in caplog.text


async def test_a_new_subscriber_hears_what_is_kept(world, shop):
    async with world.app(*shop).running() as client:
        await client.publish(Paid(order="early"))
    late = Processor("late")
    heard = []

    @late.on(Paid)
    async def hear(event: Paid):
        heard.append(event.order)

    async with world.app(late).running():
        await until(lambda: heard == ["early"])


async def test_another_store_stops_the_worker_and_nothing_is_consumed(world, shop, caplog):
    app = world.app(*shop)
    async with app.worker() as worker:
        for key in world.raw.keys(f"{{{world.name}.*"):
            world.raw.delete(key)
        await asyncio.wait_for(worker.stopped.wait(), 10)
        assert isinstance(worker.error, StoreMismatch)
        assert "Redis lost its data, or the address points elsewhere now" in str(worker.error)
        async with app.running("front", "orders") as client:  # somebody starts anew, on the new store
            await client.publish(Paid(order="o1"))
            await client.send(Place(order="o1"), id="f1")
            await until(lambda: world.flow("f1").waits == {1, 2})
            for reading in worker._reading:
                await asyncio.wait_for(asyncio.shield(reading), 5)
            assert world.flow("f1").results == {}
            assert shop[2].heard == []
            async with app.worker(["shop", "mail"]):
                assert (await client.wait("f1")).state == "completed"


async def test_what_cannot_start_closes_what_it_opened(world, shop):
    told = []

    @resource
    def first() -> int:
        told.append("opened")
        return 1

    @resource
    def second(first: int) -> str:
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        async with world.app(*shop, resources=[first, second]).worker():
            pass
    assert told == ["opened"]


async def test_a_handler_that_asks_for_what_nobody_gives_is_told_at_start(world):
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay, cache: dict):
        return None

    with pytest.raises(ApplicationError, match=r"payment.pay asks for dict, .* @resource before it"):
        async with world.app(payment).worker():
            pass


async def test_a_part_that_breaks_stops_the_worker(world, shop, monkeypatch, caplog):
    async def broken(self):
        raise KeyError("nobody foresaw it")

    monkeypatch.setattr("hybrid.runtime.schedule.Schedule.once", broken)
    async with world.app(*shop).worker() as worker:
        await asyncio.wait_for(worker.stopped.wait(), 5)
        assert isinstance(worker.error, KeyError)
    assert "the worker is broken" in caplog.text


async def test_the_server_may_go_away_and_come_back(world, shop, tmp_path, caplog):
    from tests.servers import VALKEY, spawn

    caplog.set_level(logging.CRITICAL, "hybrid")
    with spawn(
        VALKEY, tmp_path / "own", extra_args=("--appendonly", "yes", "--appendfsync", "always")
    ) as server:
        app = App(world.name, shop, settings=world.settings.model_copy(update={"redis_url": server.url}))
        async with app.running() as client:
            receipt = await client.send(Place(order="o1"))
            assert (await client.wait(receipt.id)).state == "completed"
            receipts = await client.send_many([(Place(order=f"o{n}"), f"f{n}") for n in range(100)])
            server.kill9()
            server.start()
            await until(lambda: answers(client))
            for receipt in receipts:
                assert (await client.wait(receipt.id, timeout=20)).state == "completed"
            receipt = await client.send(Place(order="last"))
            assert (await client.wait(receipt.id)).state == "completed"
        store = Store(world.name, app.settings, server.url)
        shard = store.shards[0]
        assert await shard.queries.lengths([shard.keys.topic("paid"), shard.keys.topic("completed")]) == [
            102,
            102,
        ]
        await store.close()


async def answers(client):
    try:
        return (await client.wait("f0")).state
    except ServerUnavailable:
        return ""


async def test_a_poison_message_ends_among_the_failures(world):
    """It has cost as many workers as are allowed: it is not started again."""
    calls = []
    payment = Processor("payment")

    @payment.on(Pay, retry=RetryPolicy(attempts=1))
    async def pay(command: Pay):
        calls.append(command.order)

    await world.tell(Pay(order="o1"))
    queue = world.keys.command("pay")
    world.raw.xgroup_create(queue, "hybrid", id="0", mkstream=True)
    ((_, ((entry, _),)),) = world.raw.xreadgroup("hybrid", "killed", {queue: ">"})
    world.raw.hset(world.keys.starts, f"command:pay|payment|{entry.decode()}", "3 killed")
    async with world.running(payment, lease_ms=300):
        failure = await world.failure("payment")
    assert failure.message == "started 3 times without an outcome: its worker was killed or lost each time"
    assert failure.envelope.id == "c0"
    assert calls == []
    assert world.raw.hgetall(world.keys.starts) == {}


async def test_what_a_dead_worker_left_is_taken_over_and_done_once(world):
    calls = []
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay) -> Paid:
        calls.append(command.order)
        return Paid(order=command.order)

    @payment.on(Noted)
    async def note(event: Noted):
        calls.append(event.text)

    app = world.app(payment, lease_ms=300)
    async with app.worker():
        pass
    await world.tell(*(Pay(order=f"o{n}") for n in range(5)))
    await world.broadcast(app, *(Noted(text=f"n{n}") for n in range(5)))
    queue, topic = world.keys.command("pay"), world.keys.topic("noted")
    assert world.raw.xreadgroup("hybrid", "dead", {queue: ">"}, count=3)
    assert world.raw.xreadgroup("payment", "dead", {topic: ">"}, count=3)
    world.raw.hset(world.keys.consumers, "dead", b"\x90")
    async with app.worker():
        await until(lambda: world.counter("settled:payment") == 10)
        await until(lambda: "dead" not in world.consumers())
        await until(lambda: b"dead" not in [c["name"] for c in world.raw.xinfo_consumers(queue, "hybrid")])
    assert len(calls) == len(set(calls)) == 10
    assert len(world.broadcasts(Paid)) == 5
    assert world.raw.hgetall(world.keys.starts) == {}


async def test_a_worker_that_stood_still_goes_on_under_another_name_and_work_is_done_once(world, caplog):
    """Its loop blocks for longer than its lease; the other worker takes its work over."""
    done, stood_still = [], []

    def app(name, blocking=False):
        payment = Processor("payment")

        @payment.on(Pay, concurrency=4)
        async def pay(command: Pay) -> Paid:
            if blocking and len(done) >= 8 and not stood_still:
                stood_still.append(command.order)
                time.sleep(1.6)  # noqa: ASYNC251  the lease lasts 200 ms
            await asyncio.sleep(0.01)
            done.append(name)
            return Paid(order=command.order)

        return world.app(payment, lease_ms=200)

    async with app("still", blocking=True).worker() as worker:
        before = worker.consumer
        await world.tell(*(Pay(order=f"o{n}") for n in range(30)))
        await until(lambda: worker.consumer != before)
        await until(lambda: world.counter("settled:payment") == 30)
        await until(lambda: list(world.consumers()) == [worker.consumer])
        await world.tell(Pay(order="after"))
        await until(lambda: world.counter("settled:payment") == 31)
    assert len(world.broadcasts(Paid)) == 31
    assert "going on under another name" in caplog.text
    assert world.raw.xlen(world.keys.command("pay")) == world.raw.xlen(world.keys.own("payment")) == 0
