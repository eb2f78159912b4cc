"""Processors at work: replies, broadcasts, retries, failures, limits."""

import asyncio
import threading
import time

import pytest

from hybrid import HARD, Context, Flow, Mediator, Processor, RetryPolicy, SimpleMediator
from hybrid.codec import unpack
from tests.runtime.messages import Charge, Completed, Denied, Noted, Paid, Pay, Place, Ship, Shipped
from tests.runtime.world import until

QUICK = RetryPolicy(attempts=3, first_ms=1, factor=1.0)
ONCE = RetryPolicy(attempts=1)


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_reply_is_broadcast_and_settles_the_command(world, kind):
    payment = Processor("payment")
    if kind == "async":

        @payment.on(Pay)
        async def pay(command: Pay) -> Paid:
            return Paid(order=command.order)
    else:

        @payment.on(Pay)
        def pay(command: Pay) -> Paid:
            assert threading.current_thread() is not threading.main_thread()
            return Paid(order=command.order)

    await world.tell(Pay(order="o1"), correlation="flow-1", trace="00-ab-cd-01")
    async with world.running(payment):
        await until(lambda: world.counter("settled:payment") == 1)
    (out,) = world.broadcasts(Paid)
    assert (out.type, out.source, out.key, out.cause) == ("paid", "payment", "o1", "c0")
    assert (out.correlation, out.trace, out.attempt) == ("flow-1", "00-ab-cd-01", 1)
    assert world.raw.xlen(world.keys.command("pay")) == 0
    assert world.outcomes("payment") == ["done"]


async def test_what_is_published_goes_out_with_the_settle_and_not_when_the_handler_fails(world):
    payment = Processor("payment")

    @payment.on(Pay, retry=QUICK)
    async def pay(command: Pay, context: Context) -> Paid:
        context.publish(Noted(text=f"attempt {context.attempt}"))
        if context.attempt < 3:
            raise ValueError("no")
        context.publish(Noted(text="second"))
        return Paid(order="o1")

    await world.tell(Pay(order="o1"))
    async with world.running(payment):
        await until(lambda: world.counter("settled:payment") == 1)
    rows = world.raw.xrange(world.keys.topic("noted"))
    assert [unpack(fields[b"data"]) for _, fields in rows] == [{"text": "attempt 3"}, {"text": "second"}]
    assert len(world.broadcasts(Paid)) == 1
    assert len({envelope.id for envelope in [*world.broadcasts(Noted), *world.broadcasts(Paid)]}) == 3
    assert world.outcomes("payment") == ["retried", "retried", "done"]


async def test_a_retry_goes_to_the_one_group_that_failed(world):
    seen = []
    flaky, steady = Processor("flaky"), Processor("steady")

    @flaky.on(Paid, retry=QUICK)
    async def stumble(event: Paid, context: Context):
        seen.append(("flaky", context.attempt, context.envelope.time))
        if context.attempt < 3:
            raise ValueError("again")

    @steady.on(Paid)
    async def note(event: Paid):
        seen.append(("steady", 1))

    app = world.app(flaky, steady)
    async with app.running() as client:
        await client.publish(Paid(order="o1"))
        await until(lambda: world.counter("settled:flaky") and world.counter("settled:steady"))
    assert sorted(s[:2] for s in seen) == [("flaky", 1), ("flaky", 2), ("flaky", 3), ("steady", 1)]
    assert len({s[2] for s in seen if s[0] == "flaky"}) == 1  # when it was sent does not change
    assert len(world.broadcasts(Paid)) == 1
    assert world.counter("settled:flaky") == 1  # one message, settled once, whatever it took
    assert world.raw.xlen(world.keys.own("flaky")) == world.raw.zcard(world.keys.later("flaky")) == 0


async def test_a_retry_waits_for_its_time(world):
    times = []
    payment = Processor("payment")

    @payment.on(Pay, retry=RetryPolicy(attempts=3, first_ms=100, factor=2.0))
    async def pay(command: Pay):
        times.append(time.monotonic())
        raise ValueError("no")

    await world.tell(Pay(order="o1"))
    async with world.running(payment):
        await world.failure("payment")
    assert len(times) == 3
    assert 0.1 <= times[1] - times[0] < 0.9
    assert times[2] - times[1] >= 0.2


async def test_a_failure_is_kept_whole(world):
    payment = Processor("payment")

    @payment.on(Charge, retry=QUICK)
    async def charge(command: Charge):
        raise LookupError(f"no account for {command.card}")

    await world.tell(Charge(order="ö-1", card="q42w42z q42w42z"), correlation="abc")
    async with world.running(payment):
        failure = await world.failure("payment")
    assert (failure.component, failure.handler) == ("payment", "payment.charge")
    assert (failure.channel, failure.attempts) == ("own:payment", 3)
    assert (failure.error, failure.message) == ("LookupError", "no account for **********")
    assert "in charge\n" in failure.traceback
    assert failure.envelope.id == "c0"
    assert failure.envelope.correlation == "abc"
    assert unpack(failure.data) == {"order": "ö-1", "card": "q42w42z q42w42z"}  # whole, to be sent back
    assert "q42w42z" not in failure.traceback + failure.message + repr(failure) + str(world.log())
    assert world.counter("settled:payment") == 0  # it is among the failures, not done


async def test_secrets_are_not_shown_where_data_is_not_valid(world):
    payment = Processor("payment")

    @payment.on(Charge)
    async def charge(command: Charge):
        raise AssertionError("not reached")

    await world.tell(Charge.model_construct(order="o1", card=["q42w42z"]))
    async with world.running(payment):
        failure = await world.failure("payment")
    assert failure.error == "InvalidMessage"
    assert "charge is not valid: card" in failure.message
    assert "q42w42z" not in failure.traceback + failure.message + str(world.log())


@pytest.mark.parametrize(
    ("raised", "name", "text"),
    [
        (Unprintable(), "tests.runtime.test_processing.Unprintable", ""),
        (OSError("no file caf\udce9"), "OSError", "no file caf\\udce9"),
    ],
)
async def test_errors_without_a_decent_text_are_kept_too(world, raised, name, text):
    front, orders, payment = SimpleMediator("front"), Mediator("orders", handles=HARD), Processor("payment")

    @front.classify(Place, HARD)
    def hard(event):
        return HARD

    @orders.flow(Place)
    async def place(event: Place, flow: Flow):
        await flow.do(Pay(order="o1"))

    @payment.on(Pay, retry=RetryPolicy(attempts=2, first_ms=1))
    async def pay(command: Pay):
        raise raised

    async with world.running(front, orders, payment) as client:
        receipt = await client.send(Place(order="o1"))
        failure = await world.failure("payment")
        assert failure.error == name
        assert text in failure.message
        assert (await client.wait(receipt.id, timeout=5)).state == "failed"


async def test_a_failed_step_is_told_and_goes_on_when_it_is_sent_back(world):
    broken = [True]
    front, orders, payment = SimpleMediator("front"), Mediator("orders", handles=HARD), Processor("payment")

    @front.classify(Place, HARD)
    def hard(event):
        return HARD

    @orders.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        paid, shipped = await flow.all(Pay(order=event.order), Ship(order=event.order))
        assert isinstance(paid, Paid)
        assert isinstance(shipped, Shipped)
        return Completed(order=event.order)

    @payment.on(Pay, retry=ONCE)
    async def pay(command: Pay, context: Context) -> Paid:
        if broken:
            raise ConnectionError("the bank is closed")
        return Paid(order=command.order, receipt=str(context.attempt))

    @payment.on(Ship)
    async def ship(command: Ship) -> Shipped:
        return Shipped(order=command.order)

    app = world.app(front, orders, payment)
    async with app.running() as client:
        receipt = await client.send(Place(order="o1"))
        outcome = await client.wait(receipt.id)
        assert outcome.state == "failed"
        assert outcome.reason == "step 1 (pay): ConnectionError: the bank is closed"
        assert receipt.id in [m.decode() for m in world.raw.zrange(world.keys.flows, 0, -1)]
        failure = await world.failure("payment")
        broken.clear()
        waiting = asyncio.create_task(client.wait(receipt.id, timeout=5))
        assert await world.send_back(app, failure) == 1
        assert await world.send_back(app, failure) != 1  # once only
        assert (await client.wait(receipt.id, timeout=5)).event == Completed(order="o1")
        await waiting
    assert world.failures("payment") == []
    assert world.flow(receipt.id).results[1].attempt == 1  # counted anew
    assert len(world.broadcasts(Paid)) == len(world.broadcasts(Completed)) == 1


async def test_an_async_handler_past_its_time_limit_is_cancelled_and_tried_again(world):
    seen = []
    payment = Processor("payment")

    @payment.on(Pay, timeout=0.05, retry=RetryPolicy(attempts=2, first_ms=1))
    async def pay(command: Pay):
        try:
            await asyncio.sleep(30)
        finally:
            seen.append("cancelled")

    await world.tell(Pay(order="o1"))
    async with world.running(payment):
        failure = await world.failure("payment")
    assert failure.error == "HandlerTimeout"
    assert failure.message == "payment.pay ran longer than its limit of 0.05 s"
    assert seen == ["cancelled", "cancelled"]


async def test_a_timeout_of_its_own_is_the_handlers_own_error(world):
    payment = Processor("payment")

    @payment.on(Pay, timeout=30, retry=ONCE)
    async def pay(command: Pay):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(30)

    await world.tell(Pay(order="o1"))
    async with world.running(payment):
        assert (await world.failure("payment")).error == "TimeoutError"


async def test_a_thread_past_its_time_limit_is_not_joined_by_another_of_the_same_message(world):
    running, most, ends = [], [], []
    payment = Processor("payment")
    let_end = threading.Event()

    @payment.on(Pay, timeout=0.05, retry=RetryPolicy(attempts=2, first_ms=1))
    def pay(command: Pay):
        running.append(command)
        most.append(len(running))
        let_end.wait(20)
        running.remove(command)
        ends.append(command)
        if len(ends) == 1:
            raise ValueError("late, and in vain")

    await world.tell(Pay(order="o1"))
    async with world.running(payment):
        await until(lambda: running)
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 0.25)
        assert world.log() == []  # the attempt has not ended: its thread has not
        let_end.set()
        await until(lambda: world.counter("settled:payment") == 1)
    assert [(entry.outcome, entry.note) for entry in world.log()] == [
        ("retried", "HandlerTimeout: payment.pay ran longer than its limit of 0.05 s"),
        ("done", ""),
    ]
    assert most == [1, 1]


async def test_waiting_for_a_thread_does_not_count_as_running(world):
    payment = Processor("payment")
    done = []

    @payment.on(Pay, timeout=0.3, retry=ONCE)
    def pay(command: Pay):
        time.sleep(0.15)
        done.append(command.order)

    await world.tell(*(Pay(order=f"o{n}") for n in range(4)))
    async with world.running(payment, threads=1):
        await until(lambda: len(done) == 4 or world.failures("payment"))
        await until(lambda: world.counter("settled:payment") + len(world.failures("payment")) == 4)
    assert world.failures("payment") == []


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_limits_of_concurrency_are_kept_and_used(world, kind):
    running, most = set(), [0]
    lock = threading.Lock()
    payment = Processor("payment")

    def begin(command):
        with lock:
            running.add(command.order)
            most[0] = max(most[0], len(running))

    if kind == "async":

        @payment.on(Pay, concurrency=3)
        async def pay(command: Pay):
            begin(command)
            await asyncio.sleep(0.02)
            running.discard(command.order)
    else:

        @payment.on(Pay, concurrency=3)
        def pay(command: Pay):
            begin(command)
            time.sleep(0.02)
            with lock:
                running.discard(command.order)

    await world.tell(*(Pay(order=f"o{n}") for n in range(30)))
    async with world.running(payment):
        await until(lambda: world.counter("settled:payment") == 30)
    assert most == [3]


async def test_the_limit_is_one_for_all_shards_of_a_process(world):
    running, most, done = set(), [0], []
    payment = Processor("payment")

    @payment.on(Paid, concurrency=2)
    async def note(event: Paid):
        running.add(event.order)
        most[0] = max(most[0], len(running))
        await asyncio.sleep(0.02)
        running.discard(event.order)
        done.append(event.order)

    async with world.running(payment, shards=4) as client:
        for n in range(24):
            await client.publish(Paid(order=f"o{n}"))
        await until(lambda: len(done) == 24)
    assert most == [2]


async def test_a_slow_handler_does_not_hold_up_the_others(world):
    release = asyncio.Event()
    fast = []
    payment, shipping = Processor("payment"), Processor("shipping")

    @payment.on(Pay, concurrency=2)
    async def pay(command: Pay):
        await release.wait()

    @payment.on(Ship)
    async def ship(command: Ship):
        fast.append(command.order)

    @shipping.on(Noted)
    async def note(event: Noted):
        fast.append(event.text)

    await world.tell(*(Pay(order=f"o{n}") for n in range(200)))
    async with world.running(payment, shipping) as client:
        await until(lambda: world.pending(world.keys.command("pay")))
        await world.tell(*(Ship(order=f"o{n}") for n in range(300)))
        for n in range(20):
            await client.publish(Noted(text=f"n{n}"))
        await until(lambda: len(fast) == 320, seconds=5)
        assert world.counter("settled:shipping") <= 20
        assert world.pending(world.keys.command("pay")) <= 5  # the rest is left to other workers
        release.set()
        await until(lambda: world.counter("settled:payment") == 500)


async def test_what_takes_room_makes_room(world):
    """More slow messages than a lane takes ahead: each that ends lets the next one in."""
    payment = Processor("payment")

    @payment.on(Pay, concurrency=1)
    async def pay(command: Pay):
        await asyncio.sleep(0.002)

    await world.tell(*(Pay(order=f"o{n}") for n in range(60)))
    async with world.running(payment):
        await until(lambda: world.counter("settled:payment") == 60)


@pytest.mark.parametrize("given", ["text", 7, Pay(order="o1"), [Paid(order="o1")]])
async def test_what_is_no_event_is_a_failure_at_once(world, given):
    calls = []
    payment = Processor("payment")

    @payment.on(Pay, retry=QUICK)
    async def pay(command: Pay):
        calls.append(command)
        return given

    await world.tell(Pay(order="o1"))
    async with world.running(payment):
        failure = await world.failure("payment")
    assert (failure.error, len(calls)) == ("HandlerError", 1)
    assert failure.message == (
        f"payment.pay returned a {type(given).__name__}: a handler returns one Event, or None"
    )


async def test_publishing_what_is_no_event_is_a_failure(world):
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay, context: Context):
        context.publish(Ship(order="o1"))

    await world.tell(Pay(order="o1"))
    async with world.running(payment):
        failure = await world.failure("payment")
    assert failure.message == "payment.pay published a Ship: only events are broadcast"
    assert world.raw.xlen(world.keys.command("ship")) == 0


async def test_what_is_no_message_is_kept_and_the_next_goes_on(world):
    done = []
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay):
        done.append(command.order)

    queue = world.keys.command("pay")
    await world.tell(Pay(order="before"))
    for fields in (
        {"nothing": "of ours"},
        {"id": "x", "type": "no-such", "data": b"\x80"},
        {"id": "x", "type": "pay", "data": b"\xff\xff"},
        {"id": "x", "type": "pay", "attempt": "many"},
        {"id": "x", "type": b"\xff\xfe"},
        {"id": "x", "type": "paid", "data": b"\x80"},
    ):
        world.raw.xadd(queue, fields)
    await world.tell(Pay(order="after"))
    async with world.running(payment):
        await until(lambda: len(done) == 2 and len(world.failures("payment")) == 6)
    failures = world.failures("payment")
    assert [f.error for f in failures] == [
        "UndecodableMessage",
        "UnknownMessage",
        "UndecodableMessage",
        "UndecodableMessage",
        "UndecodableMessage",
        "UnknownMessage",
    ]
    assert failures[0].fields == {b"nothing": b"of ours"}
    assert failures[0].envelope is None
    assert failures[2].data == b"\xff\xff"
    assert done == ["before", "after"]
    assert world.raw.xlen(queue) == 0


async def test_too_many_and_too_large_outputs_are_failures_that_name_the_limit(world):
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay, context: Context) -> Paid:
        for _ in range(command.amount):
            context.publish(Noted(text="n" * (2000 if command.order == "bytes" else 1)))
        return Paid(order="o" * (5000 if command.order == "reply" else 1))

    await world.tell(
        Pay(order="many", amount=6),
        Pay(order="bytes", amount=5),
        Pay(order="reply", amount=0),
        Pay(order="fine", amount=5),
    )
    async with world.running(payment, max_outputs=5, max_settle_bytes=8000, max_message_bytes=4000):
        await until(lambda: len(world.failures("payment")) == 3 and world.counter("settled:payment") == 1)
    told = {unpack(f.data)["order"]: f.message for f in world.failures("payment")}
    assert "6 " in told["many"]
    assert "HYBRID_MAX_OUTPUTS" in told["many"]
    assert "HYBRID_MAX_SETTLE_BYTES" in told["bytes"]
    assert "paid has 5,0" in told["reply"]
    assert "HYBRID_MAX_MESSAGE_BYTES" in told["reply"]
    assert len(world.broadcasts(Noted)) == 5
    assert len(world.broadcasts(Paid)) == 1


async def test_an_expired_command_is_not_executed_and_counted(world):
    calls = []
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay):
        calls.append(command.order)

    await world.tell(Pay(order="old"), expires=int(time.time() * 1000) - 60_000)
    await world.tell(Pay(order="new"), expires=int(time.time() * 1000) + 60_000)
    async with world.running(payment):
        await until(lambda: world.counter("settled:payment") and world.counter("expired:payment"))
    assert calls == ["new"]
    assert world.counter("expired:payment") == 1
    assert sorted(world.outcomes("payment")) == ["done", "expired"]


async def test_competing_consumers_share(world):
    by = {"a": [], "b": []}

    def shop(name):
        payment = Processor("payment")

        @payment.on(Pay, concurrency=4)
        async def pay(command: Pay) -> Paid:
            by[name].append(command.order)
            await asyncio.sleep(0.005)
            return Paid(order=command.order)

        return world.app(payment)

    async with shop("a").worker(), shop("b").worker():
        await world.tell(*(Pay(order=f"o{n}") for n in range(200)))
        await until(lambda: world.counter("settled:payment") == 200)
    assert len(by["a"]) + len(by["b"]) == len({*by["a"], *by["b"]}) == 200
    assert min(len(by["a"]), len(by["b"])) >= 10  # each reads some work ahead
    assert len(world.broadcasts(Paid)) == 200


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_stop_iteration_and_a_foreign_cancellation_are_failures(world, kind):
    payment = Processor("payment")

    def bad(command):
        if command.order == "stop":
            next(iter(()))
        raise asyncio.CancelledError

    if kind == "async":

        @payment.on(Pay, retry=ONCE)
        async def pay(command: Pay):
            bad(command)
    else:

        @payment.on(Pay, retry=ONCE)
        def pay(command: Pay):
            bad(command)

    await world.tell(Pay(order="stop"), Pay(order="cancelled"))
    async with world.running(payment):
        await until(lambda: len(world.failures("payment")) == 2, seconds=5)
    assert {f.error for f in world.failures("payment")} <= {"RuntimeError", "HandlerError"}


async def test_a_processor_may_listen_to_what_it_sends(world):
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay) -> Paid:
        return Paid(order=command.order)

    @payment.on(Paid | Denied)
    async def note(event: Paid | Denied) -> Noted:
        return Noted(text=event.order)

    await world.tell(Pay(order="o1"))
    async with world.running(payment) as client:
        await client.publish(Denied(order="o2"))
        await until(lambda: len(world.broadcasts(Noted)) == 2)
    chain = world.broadcasts(Paid)[0]
    noted = next(e for e in world.broadcasts(Noted) if e.correlation == "c0")
    assert noted.cause == chain.id
