"""Flows on a real server: steps, conditions, loops, ends, refusals, timeouts, determinism, versions."""

import asyncio
import time
from contextlib import suppress

import pytest

from hybrid import (
    CommandFailed,
    Context,
    Flow,
    Processor,
    Refused,
    RetryPolicy,
    StepTimeout,
    seconds,
)
from hybrid.codec import unpack
from hybrid.errors import FlowError
from hybrid.mediator.record import GIVEN_UP, Result
from tests.mediator.flows import failed, front_door, orders
from tests.runtime.messages import Cancelled, Completed, Denied, Noted, Paid, Pay, Place, Ship, Shipped
from tests.runtime.world import until

ONCE = RetryPolicy(attempts=1)


@pytest.fixture
def front():
    """A front door by which orders enter."""
    return front_door()


@pytest.fixture
def shop():
    """A processor that pays (up to 100) and ships. `pay` and `ship` list what it did."""
    shop = Processor("shop")
    shop.did = []

    @shop.on(Pay)
    async def pay(command: Pay) -> Paid | Denied:
        shop.did.append(("pay", command.order, command.amount))
        if command.amount > 100:
            return Denied(order=command.order)
        return Paid(order=command.order, receipt=f"r{command.amount}")

    @shop.on(Ship)
    async def ship(command: Ship):
        shop.did.append(("ship", command.order))

    return shop


async def ended(world, *components, event=None, id="f1", state="completed", **options):
    """Run a flow to its end in the state; return its outcome."""
    async with world.running(*components, **options) as client:
        await client.send(event or Place(order="o1"), id=id)
        outcome = await client.wait(id, timeout=10)
    assert outcome.state == state, outcome
    return outcome


async def test_steps_one_after_the_other(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        paid = await flow.do(Pay(order=event.order, amount=event.total))
        assert isinstance(paid, Paid)
        assert await flow.do(Ship(order=paid.receipt)) is None
        return Completed(order=event.order)

    outcome = await ended(world, front, orders(place), shop, event=Place(order="o1", total=7))
    assert outcome.event == Completed(order="o1")
    assert shop.did == [("pay", "o1", 7), ("ship", "r7")]
    record = world.flow("f1")
    assert (record.facts["class"], record.facts["rule"], record.facts["reason"]) == (
        "hard",
        "by_kind",
        "it is an order",
    )
    assert [record.steps[n].name for n in (1, 2)] == ["pay", "ship"]
    assert record.results[1].by == "shop"
    assert record.waits == set()
    (end,) = world.broadcasts(Completed)
    assert (end.source, end.cause, end.correlation) == ("orders", "f1", "f1")
    (paid,) = world.broadcasts(Paid)
    assert (paid.cause, paid.correlation) == ("f1/1/1", "f1")
    assert world.raw.zcard(world.keys.flows) == 0
    history = [unpack(entry)[1:] for entry in world.raw.lrange(world.keys.history("f1"), 0, -1)]
    assert history == [["running", [[1, "pay"]]], ["running", [[2, "ship"]]], ["completed", []]]


async def test_all_gives_replies_in_the_order_of_the_commands(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        commands = [Pay(order=event.order, amount=n) for n in range(30)]
        replies = await flow.all(*commands)
        assert [reply.receipt for reply in replies] == [f"r{n}" for n in range(30)]
        assert await flow.all() == []
        return Completed(order=event.order)

    await ended(world, front, orders(place), shop)
    assert world.flow("f1").version == 2  # thirty acknowledgements woke it once


async def test_steps_may_be_made_first_and_awaited_later(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        first = flow.do(Pay(order="first"))
        second = flow.do(Pay(order="second"))
        flow.do(Ship(order="never awaited"))
        assert (await second).order == "second"
        assert (await first).order == "first"
        assert (await first).order == "first"  # again
        return Completed(order=event.order)

    await ended(world, front, orders(place), shop)
    assert len(shop.did) == 3


async def test_conditions_and_loops(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        for amount in (300, 200, 50):
            reply = await flow.do(Pay(order=event.order, amount=amount))
            if isinstance(reply, Paid):
                break
        return Completed(order=f"paid {amount}")

    assert (await ended(world, front, orders(place), shop)).event == Completed(order="paid 50")


async def test_a_refusal_ends_a_flow_and_is_broadcast(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        if isinstance(await flow.do(Pay(order=event.order, amount=500)), Denied):
            raise Refused(Cancelled(order=event.order, reason="denied"))
        return Completed(order=event.order)

    outcome = await ended(world, front, orders(place), shop, state="refused")
    assert outcome.event == Cancelled(order="o1", reason="denied")
    assert len(world.broadcasts(Cancelled)) == 1
    assert world.failures("orders") == []


async def test_a_flow_may_end_with_nothing_and_without_steps(world, front):
    async def place(event: Place, flow: Flow):
        return None

    outcome = await ended(world, front, orders(place))
    assert outcome.event is None
    assert world.flow("f1").version == 1


async def test_a_step_timeout_is_raised_and_the_late_acknowledgement_changes_nothing(world, front):
    release = asyncio.Event()
    slow = Processor("slow")

    @slow.on(Pay)
    async def pay(command: Pay) -> Paid:
        await release.wait()
        return Paid(order=command.order)

    async def place(event: Place, flow: Flow) -> Completed:
        try:
            await flow.do(Pay(order=event.order), timeout=seconds(0.1))
        except StepTimeout as late:
            assert (late.flow, late.step, late.command) == ("f1", 1, "pay")
            return Completed(order="without payment")
        return Completed(order="with payment")

    async with world.running(front, orders(place), slow) as client:
        await client.send(Place(order="o1"), id="f1")
        assert (await client.wait("f1")).event == Completed(order="without payment")
        version = world.flow("f1").version
        release.set()
        await until(lambda: world.counter("settled:slow") == 1)
    assert len(world.broadcasts(Paid)) == 1  # it did happen, and others are told
    record = world.flow("f1")
    assert (record.version, record.state, record.facts["late"]) == (version, "completed", "1")
    assert record.results[1].kind == "timeout"
    assert len(world.broadcasts(Completed)) == 1


async def test_an_acknowledgement_in_time_takes_the_timeout_off_the_schedule(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.all(Pay(order="a"), Pay(order="b"), timeout=30)
        return Completed(order=event.order)

    await ended(world, front, orders(place), shop)
    assert world.raw.zcard(world.keys.timers) == 0


async def test_a_command_that_waited_too_long_for_its_turn_is_not_executed(world, front):
    release = asyncio.Event()
    calls = []
    slow = Processor("slow")

    @slow.on(Pay, concurrency=1)
    async def pay(command: Pay) -> Paid:
        calls.append(command.order)
        await release.wait()
        return Paid(order=command.order)

    async def place(event: Place, flow: Flow) -> Completed:
        first = flow.do(Pay(order="first"))
        with suppress(StepTimeout):
            await flow.do(Pay(order="second"), timeout=0.1)
        await first
        return Completed(order=event.order)

    async with world.running(front, orders(place), slow) as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: 2 in world.flow("f1").results)
        release.set()
        await client.wait("f1")
        await until(lambda: world.counter("expired:slow") == 1)
    assert calls == ["first"]


async def test_a_timeout_ends_the_wait_for_a_failed_step(world, front):
    broken = Processor("broken")

    @broken.on(Pay, retry=ONCE)
    async def pay(command: Pay):
        raise ValueError("no")

    async def place(event: Place, flow: Flow) -> Completed:
        try:
            await flow.do(Pay(order=event.order), timeout=0.3)
        except StepTimeout:
            return Completed(order="anyway")

    async with world.running(front, orders(place), broken) as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").ended)
        assert (await client.wait("f1")).event == Completed(order="anyway")
    assert world.flow("f1").stuck == {}
    assert len(world.failures("broken")) == 1


async def test_a_step_that_was_given_up_raises(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        try:
            await flow.do(Pay(order=event.order))
        except CommandFailed as error:
            return Completed(order=str(error))

    async with world.running(front, orders(place)) as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
        given_up = Result(GIVEN_UP, data=b"by hand").packed()
        world.raw.hset(world.keys.flow("f1"), "result:1", given_up)
        world.raw.xadd(world.keys.own("orders"), {"type": "wake-up", "flow": "f1"})
        outcome = await client.wait("f1")
    assert outcome.event == Completed(order="step 1 (pay) of flow f1 failed: by hand")


async def test_time_chance_and_ids_are_the_same_in_every_run(world, front, shop):
    seen = []

    async def place(event: Place, flow: Flow) -> Completed:
        values = (flow.now(), flow.random(), flow.uuid())
        await flow.do(Pay(order=str(values[2])))
        values += (flow.random(),)
        await flow.do(Ship(order="x"))
        seen.append(values)
        return Completed(order=event.order)

    async def watching(event: Place, flow: Flow) -> Completed:
        try:
            return await place(event, flow)
        finally:
            seen.append((flow.record.values.get(1), flow.record.values.get(3)))

    await ended(world, front, orders(watching), shop)
    *partial, whole, _ = seen
    assert len(partial) == 2
    assert len(set(partial)) == 1
    now, chance, uuid, other = whole
    assert abs(now.timestamp() - time.time()) < 60
    assert 0 <= chance < 1
    assert chance != other
    assert uuid.version == 4
    assert shop.did[0] == ("pay", str(uuid), 10)


@pytest.mark.parametrize("given", ["text", Pay(order="o1"), 7])
async def test_a_flow_ends_with_an_event_or_nothing(world, front, given):
    async def place(event: Place, flow: Flow):
        return given

    failure = await failed(world, front, orders(place))
    assert failure.error == "FlowError"
    assert failure.message == f"a flow ended with a {type(given).__name__}: it ends with an Event, or nothing"


async def test_a_flow_is_refused_with_an_event(world, front):
    async def place(event: Place, flow: Flow):
        raise Refused("too expensive")

    failure = await failed(world, front, orders(place))
    assert failure.error == "FlowError"
    assert failure.message == "a flow ended with a str: it ends with an Event, or nothing"


async def test_a_flow_may_end_with_too_much(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        return Completed(order="o" * 5000)

    failure = await failed(world, front, orders(place), max_message_bytes=2000)
    assert failure.error == "MessageTooLarge"


async def test_an_error_in_a_flow_is_a_failure_with_its_place(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        paid = await flow.do(Pay(order=event.order))
        return Completed(order=paid.no_such_field)

    failure = await failed(world, front, orders(place), shop)
    assert failure.error == "AttributeError"
    assert "in place\n" in failure.traceback
    assert world.flow("f1").facts["error"].startswith("AttributeError")
    assert world.raw.zcard(world.keys.flows) == 1  # it is unfinished


async def test_only_commands_are_done(world, front):
    async def place(event: Place, flow: Flow):
        await flow.do(Noted(text="an event"))

    failure = await failed(world, front, orders(place))
    assert (failure.error, failure.message) == ("ApplicationError", "flow.do takes a Command, got Noted")


async def test_a_timeout_is_not_negative(world, front):
    async def place(event: Place, flow: Flow):
        await flow.do(Pay(order="o1"), timeout=-1)

    assert (
        await failed(world, front, orders(place))
    ).message == "a timeout of -1 s is not possible: 0 to ten years are"


async def test_too_many_commands_at_once_are_a_failure_that_names_the_limit(world, front, shop):
    async def place(event: Place, flow: Flow):
        await flow.all(*(Pay(order=str(n)) for n in range(11)))

    failure = await failed(world, front, orders(place), shop, max_outputs=10)
    assert failure.message == "orders sends 11 messages at once, the limit is 10 (HYBRID_MAX_OUTPUTS)"
    assert shop.did == []


async def test_too_many_bytes_at_once_are_a_failure_that_names_the_limit(world, front, shop):
    async def place(event: Place, flow: Flow):
        await flow.all(*(Pay(order="o" * 3000) for n in range(10)))

    failure = await failed(world, front, orders(place), shop, max_settle_bytes=20_000)
    assert "HYBRID_MAX_SETTLE_BYTES" in failure.message
    assert shop.did == []


async def test_another_command_than_recorded_is_told(world, front, shop):
    runs = []

    async def place(event: Place, flow: Flow):
        runs.append(event)
        await flow.do(Pay(order="o1") if len(runs) == 1 else Ship(order="o1"))

    failure = await failed(world, front, orders(place), shop)
    assert failure.error == "NonDeterministicFlow"
    assert failure.message.startswith("flow f1 is not deterministic: step 1 was pay and is now ship. ")
    assert "version=N" in failure.message


async def test_the_same_command_with_other_data_is_told(world, front, shop):
    async def place(event: Place, flow: Flow):
        await flow.do(Pay(order=f"o{time.time_ns()}"))

    failure = await failed(world, front, orders(place), shop)
    assert "step 1 was pay and is now pay with other data" in failure.message


async def _asleep(flow):
    await asyncio.sleep(0.01)


async def _resting(flow):
    await asyncio.sleep(0)


async def _gathering(flow):
    await asyncio.gather(flow.do(Pay(order="o1")))


async def _task(flow):
    step = flow.do(Pay(order="o1"))

    async def wait():
        await step

    waiting = wait()
    try:
        await asyncio.create_task(waiting)
    finally:
        waiting.close()


async def _limited(flow):
    async with asyncio.timeout(1):
        await flow.do(Pay(order="o1"))


class _Odd:
    def __await__(self):
        yield "something"


async def _odd(flow):
    await _Odd()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("doing", [_asleep, _resting, _gathering, _task, _limited, _odd])
async def test_a_flow_awaits_its_steps_only(world, front, shop, doing):
    async def place(event: Place, flow: Flow):
        await doing(flow)

    failure = await failed(world, front, orders(place), shop)
    assert failure.error == "ForeignAwait"
    assert "it may await its own steps only (flow.do, flow.all)" in failure.message
    assert shop.did == []


@pytest.mark.parametrize("closing", ["await", "raise", "value", "foreign"])
async def test_finally_blocks_do_no_harm_where_the_flow_waits(world, front, shop, closing):
    async def place(event: Place, flow: Flow) -> Completed:
        paid = None
        try:
            paid = await flow.do(Pay(order=event.order))
        finally:
            if closing == "await":
                await flow.do(Ship(order="o1"))
            elif closing == "raise":
                print(paid.receipt)  # noqa: T201
            elif closing == "foreign":
                if paid is None:
                    await asyncio.sleep(0)
            else:
                flow.random()
        return Completed(order=paid.receipt)

    outcome = await ended(world, front, orders(place), shop)
    assert outcome.event == Completed(order="r10")
    assert shop.did == [("pay", "o1", 10), *([("ship", "o1")] if closing == "await" else [])]


async def test_a_flow_that_catches_everything_still_waits(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        try:
            paid = await flow.do(Pay(order=event.order))
        except Exception:
            return Completed(order="swallowed")
        return Completed(order=paid.receipt)

    assert (await ended(world, front, orders(place), shop)).event == Completed(order="r10")


async def test_a_flow_function_that_takes_no_flow_is_refused_or_a_failure(world, front):
    async def place(event: Place):
        return None

    failure = await failed(world, front, orders(place))
    assert failure.error == "TypeError"


async def test_one_bad_flow_does_not_hold_up_the_others(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        if event.order == "bad":
            raise Refused("bad")
        await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    async with world.running(front, orders(place), shop) as client:
        sent = [Place(order="bad" if n % 5 == 0 else f"o{n}") for n in range(50)]
        receipts = await client.send_many(sent)
        outcomes = await asyncio.gather(*(client.wait(r.id, timeout=10) for r in receipts))
    assert [o.state for o in outcomes] == ["failed" if e.order == "bad" else "completed" for e in sent]


async def test_a_running_flow_keeps_its_version(world, front):
    release = asyncio.Event()
    slow = Processor("slow")

    @slow.on(Pay)
    async def pay(command: Pay) -> Paid:
        await release.wait()
        return Paid(order=command.order)

    @slow.on(Ship)
    async def ship(command: Ship) -> Shipped:
        return Shipped(order=command.order)

    async def old(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        return Completed(order="old")

    async def new(event: Place, flow: Flow) -> Completed:
        await flow.do(Ship(order=event.order))
        return Completed(order="new")

    async with world.running(front, orders(old), slow) as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: world.flow("f1").waits)
        release.set()
    release.clear()
    async with world.running(front, orders(old), slow) as client:
        await client.send(Place(order="o1"), id="f2")
        await until(lambda: world.flow("f2").waits)
        release.set()
        await client.wait("f1")
        await client.wait("f2")
    release.clear()
    both = orders(old)
    both.flow(Place, version=2)(new)
    async with world.running(front, orders(old), slow) as client:
        await client.send(Place(order="o1"), id="f3")
        await until(lambda: world.flow("f3").waits)
        stop = asyncio.get_running_loop().call_later(0.05, release.set)
    stop.cancel()
    release.set()
    async with world.running(front, both, slow) as client:
        await client.send(Place(order="o1"), id="f4")
        assert (await client.wait("f3")).event == Completed(order="old")
        assert (await client.wait("f4")).event == Completed(order="new")
    assert world.flow("f3").facts["code"] == "1"
    assert world.flow("f4").facts["code"] == "2"


async def test_mended_code_and_a_send_back_continue_a_failed_flow(world, front, shop):
    async def broken(event: Place, flow: Flow) -> Completed:
        paid = await flow.do(Pay(order=event.order))
        return Completed(order=paid.typo)

    async def mended(event: Place, flow: Flow) -> Completed:
        paid = await flow.do(Pay(order=event.order))
        await flow.do(Ship(order=event.order))
        return Completed(order=paid.receipt)

    failure = await failed(world, front, orders(broken), shop)
    assert failure.envelope is None  # a wake-up
    app = world.app(front, orders(mended), shop)
    async with app.running() as client:
        assert await world.send_back(app, failure) == 1
        outcome = await client.wait("f1")
    assert outcome.event == Completed(order="r10")
    assert "error" not in world.flow("f1").facts
    assert shop.did == [("pay", "o1", 10), ("ship", "o1")]  # paid once


async def test_a_flow_that_fails_at_its_start_goes_on_after_a_send_back(world, front, shop):
    async def broken(event: Place, flow: Flow) -> Completed:
        raise FlowError("at the start")

    async def mended(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    failure = await failed(world, front, orders(broken), shop)
    assert failure.envelope.type == "place"
    app = world.app(front, orders(mended), shop)
    async with app.client() as client:
        assert await world.send_back(app, failure) == 1
        with pytest.raises(Exception, match="has not ended within"):  # it is on its way again, not failed
            await client.wait("f1", timeout=0.05)
    async with app.running() as client:
        assert (await client.wait("f1")).event == Completed(order="o1")


async def test_two_mediators_race_and_nothing_is_lost_or_doubled(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        for n in range(3):
            await flow.all(Pay(order=event.order, amount=n), Ship(order=event.order))
        return Completed(order=event.order)

    async def noisy():
        for n in range(60):
            world.raw.xadd(world.keys.own("orders"), {"type": "wake-up", "flow": f"f{n % 20}"})
            await asyncio.sleep(0.001)

    app = world.app(front, orders(place), shop)
    async with app.running() as client, app.worker(["orders"]), app.worker(["orders"]):
        await client.send_many([(Place(order=f"o{n}"), f"f{n}") for n in range(20)])
        await noisy()
        for n in range(20):
            assert (await client.wait(f"f{n}")).state == "completed"
    assert len(shop.did) == 20 * 6
    assert len(world.broadcasts(Completed)) == 20
    assert world.failures("orders") == []


async def test_a_wake_up_of_an_unknown_flow_or_of_none_does_no_harm(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    world.raw.xadd(world.keys.own("orders"), {"type": "wake-up", "flow": "nobody"})
    world.raw.xadd(world.keys.own("orders"), {"type": "wake-up"})
    await ended(world, front, orders(place), shop)
    (failure,) = world.failures("orders")
    assert failure.message == "a wake-up in own:orders names no flow"
    assert world.raw.exists(world.keys.flow("nobody")) == 0


async def test_an_event_that_the_mediator_has_no_flow_for_is_a_failure(world, front, shop):
    async def place(event: Place, flow: Flow) -> Completed:
        return Completed(order=event.order)

    app = world.app(front, orders(place), shop)
    async with app.running() as client:
        for type, data in (("paid", b"\x81\xa5order\xa1o"), ("place", b"\xc1"), ("no-such", b"\x80")):
            world.raw.xadd(world.keys.own("orders"), {"id": f"f-{type}", "type": type, "data": data})
        assert (await client.wait("f-paid")).state == "failed"
        assert (await client.wait("f-place")).state == "failed"
        assert (await client.wait("f-no-such")).state == "failed"
    errors = {f.envelope.id: f.error for f in world.failures("orders")}
    assert errors == {
        "f-paid": "NotRegistered",
        "f-place": "UndecodableMessage",
        "f-no-such": "UnknownMessage",
    }


async def test_the_attempt_counts_in_a_flow(world, front):
    payment = Processor("payment")

    @payment.on(Pay, retry=RetryPolicy(attempts=5, first_ms=1, factor=1))
    async def pay(command: Pay, context: Context) -> Paid:
        if context.attempt < 4:
            raise ValueError("no")
        return Paid(order=command.order)

    async def place(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    await ended(world, front, orders(place), payment)
    assert world.flow("f1").results[1].attempt == 4
