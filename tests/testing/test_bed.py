"""The test bed: runs an application, says when it has come to rest, lets time pass, lets handlers fail."""

import asyncio
import logging
from datetime import datetime, timedelta

import pytest

from hybrid import HARD, App, Flow, Mediator, Processor, RetryPolicy, StepTimeout, days, hours
from hybrid.errors import (
    ApplicationError,
    HandlerTimeout,
    InvalidMessage,
    NotSettled,
    StoreMismatch,
    UnknownFlow,
)
from hybrid.keys import Keys
from hybrid.testing import TestBed
from tests.testing import shop
from tests.testing.shop import Approved, Late, Ordered, Paid, Pay, Ship, Shipped, app


@pytest.fixture(autouse=True)
def same_server(server, monkeypatch):
    """The beds work on the session's server."""
    monkeypatch.setenv("HYBRID_TEST_REDIS_URL", server)


def app_of(flow, *processors):
    """An application whose mediator carries out orders by this function."""
    orders = Mediator("orders", handles=HARD)
    orders.flow(Ordered)(flow)
    return App("shop", [shop.front, orders, *(processors or (shop.payment, shop.shipping, shop.mail))])


async def test_a_flow_from_its_start_to_its_end():
    async with TestBed(app) as bed:
        order = await bed.send(Ordered(order="o1"))
        await bed.settled()
        assert bed.outcome(order).state == "running"
        assert bed.flow(order).summary.waiting_for == ("sleep 12 h",)
        began = bed.now
        await bed.skip(hours=12)
        assert timedelta(hours=12) <= bed.now - began < timedelta(hours=12, minutes=1)
        assert bed.outcome(order).state == "completed"
        assert bed.outcome(order.id).event == Shipped(order="o1") == bed.event(Shipped)
        assert bed.commands(Pay) == [Pay(order="o1")]
        assert [type(command) for command in bed.commands()] == [Pay, Ship]
        assert bed.events() == [Paid(order="o1"), Shipped(order="o1")]
        assert [step.state for step in bed.flow(order).steps] == ["acknowledged", "slept", "acknowledged"]
        assert bed.failures() == []


async def test_each_of_several_sleeps_ends_at_its_time():
    async with TestBed(app) as bed:
        began = bed.now
        await bed.send(Ordered(order="o1", nights=6))
        await bed.skip(days(3))
        late = datetime.fromisoformat(bed.command(Ship).time) - began - days(3)
        assert timedelta(0) <= late < timedelta(seconds=2)


async def test_no_more_time_passes_than_is_skipped():
    async with TestBed(app) as bed:
        order = await bed.send(Ordered(order="o1", nights=2))
        await bed.skip(hours=23, minutes=59)
        assert bed.outcome(order).state == "running"
        await bed.skip(minutes=1)
        assert bed.outcome(order).state == "completed"
        assert bed.flow(order).summary.ended <= bed.now.timestamp() * 1000 + 1


async def test_what_is_sent_later_comes_when_it_is_due():
    async with TestBed(app) as bed:
        await bed.send(Approved(order="o1"), after=days(2))
        await bed.send(Approved(order="o2"), at=bed.now + days(1))
        await bed.skip(hours=47)
        assert [each.order for each in bed.events(Shipped)] == ["o2"]
        await bed.skip(hours=1)
        assert [each.order for each in bed.events(Shipped)] == ["o2", "o1"]


async def test_a_handler_fails_and_is_tried_again_at_once():
    async with TestBed(app) as bed:
        order = await bed.send(Ordered(order="o1", nights=0))
        bed.fail(Pay, times=2)
        began = bed.now
        await bed.settled()
        assert bed.now - began < timedelta(seconds=2)
        first, _ = bed.flow(order).steps
        assert (bed.outcome(order).state, first.attempts) == ("completed", 3)


async def test_a_failure_that_nobody_expects_is_told():
    async with TestBed(app) as bed:
        bed.fail(Pay, times=3, error=ValueError("no card"))
        order = await bed.send(Ordered(order="o1"), id="f1")
        with pytest.raises(
            NotSettled, match="payment.pay: pay of flow f1, step 1: ValueError: no card \\(3 att"
        ):
            await bed.settled()
        await bed.settled(failures=True)
        (failure,) = bed.failures()
        assert failure.error == "ValueError"
        assert bed.outcome(order).reason == "step 1 (pay): ValueError: no card"
        with pytest.raises(NotSettled):
            await bed.skip(hours=1)
        await bed.skip(hours=1, failures=True)


async def test_a_step_times_out_while_its_processor_is_away_and_late_work_is_not_done():
    async with TestBed(app) as bed:
        bed.hold(Pay)
        order = await bed.send(Ordered(order="o1"))
        await bed.settled()
        assert bed.flow(order).summary.waiting_for == ("pay",)
        await bed.skip(days=1)
        assert bed.outcome(order).state == "refused"
        assert bed.event(Late) == Late(order="o1")
        bed.release(Pay)
        await bed.settled()
        assert bed.events(Paid) == []


async def test_what_was_held_is_done_when_it_is_released():
    async with TestBed(app) as bed:
        bed.hold(Pay)
        bed.hold(Paid, of="mail")
        orders = [await bed.send(Ordered(order=f"o{n}", nights=0)) for n in range(40)]
        await bed.settled()
        assert bed.events() == []
        bed.release(Pay)
        await bed.settled()
        assert {bed.outcome(order).state for order in orders} == {"completed"}
        bed.release(Paid, of="mail")
        await bed.settled()


async def test_signals():
    async def place(event: Ordered, flow: Flow) -> Shipped:
        said = await flow.signal("go")
        return Shipped(order=said["to"])

    async with TestBed(app_of(place)) as bed:
        order = await bed.send(Ordered(order="o1"))
        await bed.settled()
        await bed.signal(order, "go", {"to": "prague"})
        await bed.settled()
        assert bed.outcome(order).event == Shipped(order="prague")


async def test_people_are_asked_and_answer():
    async def place(event: Ordered, flow: Flow) -> Shipped:
        said = await flow.ask(
            "Really?", choices=["yes", "no"], for_="manager", timeout=days(9), escalate=(days(2), "director")
        )
        return Shipped(order=f"{said.choice} {said.by}")

    async with TestBed(app_of(place)) as bed:
        with pytest.raises(AssertionError, match="one open task was expected, there are 0"):
            await bed.task()
        one, two, late = [await bed.send(Ordered(order=f"o{n}")) for n in range(3)]
        await bed.settled()
        with pytest.raises(AssertionError, match="there are 3\n  .*/1 for manager: Really?"):
            await bed.task(for_="manager")
        await bed.answer(await bed.task(one), "yes", by="ann")
        await bed.skip(days=2)
        assert bed.outcome(one).event == Shipped(order="yes ann")
        task = await bed.task(two, for_="director")
        with pytest.raises(InvalidMessage):
            await bed.answer(task, "perhaps")
        await bed.answer(task.id, choice="no")
        await bed.skip(days=7, failures=True)
        assert bed.outcome(two).event == Shipped(order="no a test")
        assert bed.outcome(late).state == "failed"


async def test_an_event_without_a_flow_and_one_that_is_published():
    async with TestBed(app) as bed:
        simple = await bed.send(Approved(order="o1"))
        await bed.publish(Paid(order="o2"))
        await bed.settled()
        assert bed.outcome(simple).state == "completed"
        assert bed.event(Paid) == Paid(order="o2")
        for look in (bed.outcome, bed.flow):
            with pytest.raises(UnknownFlow):
                look("nobody")


async def test_the_one_that_is_not_one_is_told():
    async with TestBed(app) as bed:
        for n in range(2):
            await bed.send(Ordered(order=f"o{n}"))
        await bed.settled()
        with pytest.raises(AssertionError, match="one Shipped was expected, 0 broadcast; in all: Paid × 2"):
            bed.event(Shipped)
        with pytest.raises(AssertionError, match="one Pay was expected, 2 sent; in all: Pay × 2\n  Pay"):
            bed.command(Pay)


async def test_what_does_not_come_to_rest_is_named():
    slow, going = Processor("payment"), asyncio.Event()

    @slow.on(Pay)
    async def pay(command: Pay):
        await going.wait()

    async def place(event: Ordered, flow: Flow):
        await flow.do(Pay(order=event.order))

    async with TestBed(app_of(place, slow, shop.shipping)) as bed:
        await bed.send(Ordered(order="o1"), id="f1")
        with pytest.raises(NotSettled) as told:
            await bed.settled(timeout=0.1)
        assert str(told.value).splitlines() == [
            "not settled within 0.1 s:",
            "  0 waiting and 1 in work in command:pay, for payment",
            "  flow f1 (ordered): running, waits for pay",
        ]
        going.set()
        await bed.settled()


async def test_retries_without_end_are_given_up():
    hopeless = Processor("payment")

    @hopeless.on(Pay, retry=RetryPolicy(attempts=10**9))
    async def pay(command: Pay):
        raise ValueError

    async def place(event: Ordered, flow: Flow):
        await flow.do(Pay(order=event.order))

    async with TestBed(app_of(place, hopeless)) as bed:
        await bed.send(Ordered(order="o1"))
        with pytest.raises(NotSettled, match="not settled within 0.1 s"):
            await bed.settled(timeout=0.1)


async def test_a_bed_that_is_not_open_says_so():
    bed = TestBed(app)
    for use in (bed.events, lambda: bed.now, lambda: bed.client):
        with pytest.raises(ApplicationError, match="this bed is not open"):
            use()
    with pytest.raises(ApplicationError, match="this bed is not open"):
        await bed.send(Ordered(order="o1"))
    async with bed:
        await bed.settled()
    with pytest.raises(ApplicationError, match="this bed is not open"):
        await bed.settled()


async def test_two_beds_do_not_know_each_other(raw):
    async with TestBed(app) as one, TestBed(app) as two:
        await one.send(Ordered(order="o1", nights=2), id="f1")
        await two.send(Ordered(order="o2", nights=2), id="f1")
        await one.skip(days=1)
        await two.settled()
        assert (one.outcome("f1").state, two.outcome("f1").state) == ("completed", "running")
        assert two.commands() == [Pay(order="o2")]
        assert one.now - two.now > timedelta(hours=23)
        assert one.settings.domain != two.settings.domain
        assert list(raw.scan_iter("{shop.test-*"))
    assert list(raw.scan_iter("{shop.test-*")) == []


async def test_nothing_is_left_when_the_test_fails(raw):
    with pytest.raises(ZeroDivisionError):
        async with TestBed(app) as bed:
            bed.hold(Pay)
            await bed.send(Ordered(order="o1"))
            directory = bed.settings.directory
            assert directory.is_dir()
            raise ZeroDivisionError
    assert list(raw.scan_iter("{shop.test-*")) == []
    assert not directory.exists()


async def test_time_is_not_skipped_in_a_store_that_is_none_for_tests(store, raw):
    shard = store.shards[0]
    assert not await shard.scripts.skip(shard.keys.store, shard.keys.counters, 1000)
    async with TestBed(app) as bed:
        raw.hdel(Keys("shop", bed.settings.domain, 0).store, "test")
        with pytest.raises(StoreMismatch, match="was not made for tests"):
            await bed.skip(days=1)
    assert await shard.queries.now() - await shard.queries.server_time() < 100


@pytest.mark.parametrize(
    "skip", [{"days": -1}, {"duration": timedelta(-1)}, {"duration": hours(1), "days": 1}]
)
async def test_time_goes_forward(skip):
    async with TestBed(app) as bed:
        with pytest.raises(ApplicationError, match="time is skipped forward"):
            await bed.skip(**skip)


async def test_faults_that_can_not_be():
    async with TestBed(app) as bed:
        with pytest.raises(
            ApplicationError, match="Paid is heard by shipping, mail: say whose, as of='shipping'"
        ):
            bed.fail(Paid)
        with pytest.raises(ApplicationError, match="no handler of a processor takes Late"):
            bed.hold(Late)
        with pytest.raises(ApplicationError, match="no handler of shipping takes Pay"):
            bed.fail(Pay, of="shipping")
        with pytest.raises(ApplicationError, match="Pay fails 0 times"):
            bed.fail(Pay, times=0)
        for error in ("no", KeyboardInterrupt, KeyboardInterrupt()):
            with pytest.raises(ApplicationError, match="is no exception that a handler could raise"):
                bed.fail(Pay, error=error)
        with pytest.raises(ApplicationError, match="HandlerTimeout takes other arguments than a text"):
            bed.fail(Pay, error=HandlerTimeout)


async def test_a_fault_of_one_that_hears_an_event():
    async with TestBed(app) as bed:
        bed.fail(Paid, of="mail", times=3, error=KeyError)
        await bed.publish(Paid(order="o1"))
        await bed.settled(failures=True)
        (failure,) = bed.failures()
        assert (failure.component, failure.error, failure.attempts) == ("mail", "KeyError", 3)


async def test_one_component_alone():
    async with TestBed(app, only=["mail"]) as bed:
        await bed.send(Ordered(order="o1"))  # the front door is closed
        await bed.publish(Paid(order="o1"))
        await bed.settled()
        assert bed.commands() == []
    with pytest.raises(ApplicationError, match="no component is called nobody"):
        async with TestBed(app, only=["nobody"]):
            raise AssertionError


async def test_what_every_instance_hears_is_waited_for():
    cache, heard = Processor("cache"), []

    @cache.on(Paid, every_instance=True)
    async def hear(event: Paid) -> None:
        await asyncio.sleep(0.02)
        heard.append(event.order)

    async with TestBed(App("shop", [cache])) as bed:
        for n in range(50):
            await bed.publish(Paid(order=f"o{n}"))
        await bed.settled()
        assert heard == [f"o{n}" for n in range(50)]
        with pytest.raises(ApplicationError, match="Paid goes to every instance: nothing of it is settled"):
            bed.hold(Paid)


async def test_several_shards():
    async with TestBed(app, shards=3) as bed:
        orders = [await bed.send(Ordered(order=f"o{n}")) for n in range(9)]
        await bed.skip(hours=12)
        assert {bed.outcome(order).state for order in orders} == {"completed"}
        assert len(bed.events(Shipped)) == 9


async def test_a_worker_that_broke_is_told(monkeypatch, caplog):
    caplog.set_level(logging.CRITICAL + 1)

    async def broken(self):
        raise ZeroDivisionError("the schedule broke")

    monkeypatch.setattr("hybrid.runtime.schedule.Schedule.once", broken)
    async with TestBed(app) as bed:
        await bed._open.settling._worker.stopped.wait()
        with pytest.raises(NotSettled, match="the worker has stopped: the schedule broke"):
            await bed.settled()


async def test_time_that_was_skipped_hides_no_event_and_ends_a_wait():
    async def wait(event: Ordered, flow: Flow) -> Late | None:
        heard = flow.wait(Paid, match={"order": event.order}, timeout=days(30))
        await flow.sleep(days(3))
        try:
            await heard
        except StepTimeout:
            return Late(order=event.order)
        return None

    orders = Mediator("orders", handles=HARD)
    orders.flow(Ordered, hears=Paid)(wait)
    async with TestBed(App("shop", [shop.front, orders, shop.payment, shop.shipping, shop.mail])) as bed:
        first, second = await bed.send(Ordered(order="o1")), await bed.send(Ordered(order="o2"))
        await bed.skip(days(2))
        await bed.publish(Paid(order="o1"))
        await bed.skip(days(2))
        assert bed.outcome(first).state == "completed"
        assert bed.outcome(second).state == "running"
        await bed.skip(days(30))
        assert bed.outcome(second).event == Late(order="o2")
