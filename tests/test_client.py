"""The client: sending, publishing, waiting."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from hybrid import HARD, Client, Event, Flow, Mediator, Processor, SimpleMediator
from hybrid.broker.shard import Store
from hybrid.codec import unpack
from hybrid.errors import (
    ApplicationError,
    InvalidMessage,
    MessageTooLarge,
    ScheduleError,
    ServerUnavailable,
    UnknownFlow,
    WaitTimeout,
)
from tests.runtime.messages import Completed, Paid, Pay, Place, Renamed
from tests.runtime.world import World, until


class Anything(Event):
    value: object


@pytest.fixture
def world(fresh, settings, raw):
    return World(fresh, settings, raw)


@pytest.fixture
def shop():
    """Orders that wait for a payment; renamings are simple."""
    front, orders, payment = SimpleMediator("front"), Mediator("orders", handles=HARD), Processor("payment")
    payment.calls = []

    @front.classify(Place, HARD)
    def rule(event):
        return HARD

    @front.on(Renamed | Anything)
    def renamed(event):
        return None

    @orders.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    @payment.on(Pay)
    async def pay(command: Pay) -> Paid:
        payment.calls.append(command.order)
        return Paid(order=command.order)

    return front, orders, payment


async def test_a_receipt_means_that_it_is_stored(world, shop):
    async with world.app(*shop).client() as client:
        receipt = await client.send(Renamed(customer="ö"))
        ((_, fields),) = world.raw.xrange(world.keys.event("front"))
    assert fields[b"id"].decode() == receipt.id
    assert unpack(fields[b"data"]) == {"customer": "ö"}
    assert not receipt.duplicate
    assert len(receipt.id) == 24


async def test_many_are_sent_in_order_and_answered_in_order(world, shop):
    async with world.app(*shop).client() as client:
        events = [Renamed(customer=f"c{n}") for n in range(1203)]
        receipts = await client.send_many((event, f"id-{n}") for n, event in enumerate(events))
        assert [receipt.id for receipt in receipts] == [f"id-{n}" for n in range(1203)]
        stored = [
            unpack(fields[b"data"])["customer"] for _, fields in world.raw.xrange(world.keys.event("front"))
        ]
        assert stored == [f"c{n}" for n in range(1203)]
        again = await client.send_many([(events[0], "id-0"), events[1], (events[2], None)])
        assert [receipt.duplicate for receipt in again] == [True, False, False]
        assert await client.send_many([]) == []


async def test_many_go_to_their_shards_and_are_answered_in_order(world, shop):
    async with world.app(*shop, shards=3).client() as client:
        receipts = await client.send_many([Place(order=f"o{n}") for n in range(50)])
        lengths = [world.raw.xlen(f"{{{world.name}.main.{n}}}:event:front") for n in range(3)]
        assert sum(lengths) == 50
        assert min(lengths) > 5
        assert len({receipt.id for receipt in receipts}) == 50


async def test_all_are_checked_before_the_first_is_sent(world, shop):
    async with world.app(*shop, max_message_bytes=2000).client() as client:
        with pytest.raises(MessageTooLarge, match=r"renamed has 3,0\d\d bytes, the limit is 2,000"):
            await client.send_many([Renamed(customer="c"), Renamed(customer="c" * 3000)])
    assert world.raw.xlen(world.keys.event("front")) == 0


async def test_what_can_not_be_sent(world, shop):
    async with world.app(*shop).client() as client:
        with pytest.raises(InvalidMessage, match="can't be packed"):
            await client.send(Anything(value=object()))
        with pytest.raises(
            ApplicationError, match="paid is no initiating event; those are: anything, place, renamed"
        ):
            await client.send(Paid(order="o1"))
        for thing in (Pay(order="o1"), "text", None, Place):
            with pytest.raises(
                ApplicationError, match="only events are sent from outside|is no initiating event"
            ):
                await client.send(thing)
        for id in ("a b", "a/b", "x" * 101, "-a", "ö"):
            with pytest.raises(InvalidMessage, match="takes 1 to 100 letters, digits"):
                await client.send(Renamed(customer="c"), id=id)
            with pytest.raises(InvalidMessage):
                await client.publish(Paid(order="o1"), id=id)
        with pytest.raises(ApplicationError, match="only events are sent from outside; Pay is none"):
            await client.publish(Pay(order="o1"))
    assert world.raw.keys(f"{world.keys.prefix}own:*") == []


async def test_an_id_starts_one_flow_and_waiting_answers_with_it(world, shop):
    async with world.app(*shop).running() as client:
        first = await client.send(Place(order="o1"), id="order-1")
        assert (await client.wait("order-1")).state == "completed"
        second = await client.send(Place(order="o1"), id="order-1")
        assert (first.id, second.id) == ("order-1", "order-1")
        assert (first.duplicate, second.duplicate) == (False, True)
        assert (await client.wait(second.id)).event == Completed(order="o1")
        both = await asyncio.gather(*(client.send(Place(order="o2"), id="order-2") for _ in range(20)))
        assert [receipt.duplicate for receipt in both].count(False) == 1
        await client.wait("order-2")
    assert shop[2].calls == ["o1", "o2"]


async def test_ids_are_forgotten_after_their_window_but_the_flow_is_there(world, shop):
    """Past the window (or over its limit) an id enters again; its flow is on record, and starts once."""
    async with world.app(*shop, dedupe_ms=1000, dedupe_ids=100).running() as client:
        await client.send(Place(order="o1"), id="order-1")
        await client.wait("order-1")
        for batch in range(3):
            await client.send_many([(Renamed(customer="c"), f"other-{batch}-{n}") for n in range(110)])
        assert not (await client.send(Place(order="o1"), id="order-1")).duplicate
        await until(lambda: "duplicate" in world.outcomes("orders"))
        assert (await client.wait("order-1")).event == Completed(order="o1")
    assert shop[2].calls == ["o1"]
    assert world.raw.scard(world.keys.seen_new) + world.raw.scard(world.keys.seen_old) <= 330
    assert 0 < world.raw.pttl(world.keys.seen_new) <= 2000


async def test_waiting_has_an_end(world, shop):
    async with world.app(*shop).client() as client:
        await client.send(Place(order="o1"), id="order-1")
        with pytest.raises(
            WaitTimeout, match=r"flow order-1 has not ended within 0.05 s; it goes on: `hybrid"
        ):
            await client.wait("order-1", timeout=0.05)
        with pytest.raises(WaitTimeout):
            await client.wait("never-sent", timeout=0.05)
        with pytest.raises(UnknownFlow, match="no flow never-sent: it has never existed, or"):
            await client.record("never-sent")


async def test_waiting_before_it_is_sent_and_by_many(world, shop):
    async with world.app(*shop).running() as client:
        waiting = [asyncio.create_task(client.wait("order-1")) for _ in range(5)]
        waiting.append(asyncio.create_task(client.wait("renamed-1")))
        await asyncio.sleep(0)
        await client.send(Place(order="o1"), id="order-1")
        await client.send(Renamed(customer="c"), id="renamed-1")
        assert {(await waiter).state for waiter in waiting} == {"completed"}
    async with world.app(*shop).client() as client:  # long afterwards
        assert (await client.wait("order-1")).event == Completed(order="o1")
        assert (await client.wait("renamed-1")).state == "completed"


async def test_a_flow_may_end_while_its_record_is_read(world, shop, monkeypatch):
    """What was read is old by then: the outcome comes with its event all the same."""
    real, reads = Client._recorded, []

    async def recorded(self, flow):
        found = await real(self, flow)
        reads.append(found)
        if len(reads) == 1:
            assert found is None
            await self.send(Place(order="o1"), id="order-1")
            await until(lambda: self._watches[0].state("order-1"))
        return found

    monkeypatch.setattr(Client, "_recorded", recorded)
    async with world.app(*shop).running() as client:
        assert (await client.wait("order-1")).event == Completed(order="o1")


async def test_a_published_event_goes_to_its_topic_once(world, shop):
    async with world.app(*shop).client() as client:
        first = await client.publish(Paid(order="o1"), id="paid-1")
        second = await client.publish(Paid(order="o1"), id="paid-1")
        assert (first.duplicate, second.duplicate) == (False, True)
        receipts = await client.publish_many([Paid(order="o2"), (Paid(order="o3"), "paid-3")])
        assert receipts[1].id == "paid-3"
    assert [envelope.key for envelope in world.broadcasts(Paid)] == ["o1", "o2", "o3"]
    assert world.counter("entered:topic:paid") == 3


async def test_no_server_is_told_without_the_password(world, shop, tmp_path):
    app = world.app(*shop, redis_url="redis://user:s3cret@127.0.0.1:1/0")
    with pytest.raises(
        ServerUnavailable, match=r"no connection to Redis at redis://user:\*\*\*@127.0.0.1:1/0"
    ):
        async with app.client():
            pass


async def test_a_server_that_is_away_when_waiting_begins_is_no_harm_later(world, shop, tmp_path):
    from tests.servers import VALKEY, spawn

    with spawn(VALKEY, tmp_path / "own", extra_args=("--appendonly", "yes")) as server:
        app = world.app(*shop, redis_url=server.url)
        async with app.client() as client:
            server.kill9()
            for _ in range(2):
                with pytest.raises(ServerUnavailable):
                    await client.wait("order-1", timeout=5)
            server.start()
            async with app.running():
                await client.send(Place(order="o1"), id="order-1")
                assert (await client.wait("order-1", timeout=10)).state == "completed"
                server.restart()
                await until(lambda: answers(client))
                await client.send(Place(order="o2"), id="order-2")
                assert (await client.wait("order-2", timeout=10)).state == "completed"


async def answers(client):
    """Tell whether the server does, through connections that it had before."""
    try:
        return await client.wait("order-1")
    except ServerUnavailable:
        return None


async def test_a_store_that_was_made_otherwise_is_refused(world, shop, raw):
    async with world.app(*shop).client():
        pass
    raw.hset(world.keys.store, "format", 99)
    store = Store(world.name, world.settings, world.settings.redis_url)
    with pytest.raises(ApplicationError.__mro__[1], match="was created with format 99"):
        await store.open()
    await store.close()


async def test_the_settings_in_force_are_told(world, shop):
    async with world.app(*shop, shards=2).client() as client:
        assert client.settings.shards == 2


async def test_an_event_is_sent_later_once_per_id(world, shop):
    in_a_minute = datetime.now(UTC) + timedelta(minutes=1)
    async with world.app(*shop).client() as client:
        receipt = await client.send(Place(order="o"), id="order-1", at=in_a_minute)
        assert receipt == ("order-1", False)
        for when in ({}, {"at": in_a_minute}, {"after": timedelta(0)}):
            assert (await client.send(Place(order="o"), id="order-1", **when)).duplicate
        assert (await client.publish(Paid(order="o"), id="paid-1", after=timedelta(hours=1))).id == "paid-1"
    assert [member.partition(b"\0")[0] for member in world.raw.zrange(world.keys.scheduled, 0, -1)] == [
        b"order-1",
        b"paid-1",
    ]
    assert world.counters() == {}


async def test_a_time_in_the_past_is_now(world, shop):
    async with world.app(*shop).client() as client:
        await client.send(Place(order="o"), at=datetime(2020, 1, 1, tzinfo=UTC))
    assert world.raw.zcard(world.keys.scheduled) == 0
    assert world.counter("entered:event:front") == 1


async def test_what_is_wrong_with_an_event_for_later_is_said_now(world, shop):
    soon = timedelta(minutes=1)
    async with world.app(*shop, max_message_bytes=1024).client() as client:
        for event, error in [
            (Completed(order="o"), ApplicationError),
            (Renamed(customer="x" * 2000), MessageTooLarge),
            (Anything(value=object()), InvalidMessage),
        ]:
            with pytest.raises(error):
                await client.send(event, after=soon)
        with pytest.raises(InvalidMessage):
            await client.send(Place(order="o"), id="a b", after=soon)
        with pytest.raises(ScheduleError):
            await client.send(Place(order="o"), after=-soon)
    assert world.raw.exists(world.keys.scheduled, world.keys.seen_new) == 0
