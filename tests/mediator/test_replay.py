"""The replay, without a server: what a run of a flow's function leads to."""

import asyncio
from contextlib import suppress

import pytest

from hybrid import Command, CommandFailed, Flow, Promote, Refused, StepTimeout
from hybrid.catalog import Catalog
from hybrid.codec import pack, unpack
from hybrid.envelope import Envelope
from hybrid.errors import FlowError, NewerMessage, NonDeterministicFlow, UnknownMessage
from hybrid.mediator.advance import issued
from hybrid.mediator.record import GIVEN_UP, NOTHING, REPLY, TIMEOUT, FlowRecord, Issued, Result
from hybrid.mediator.replay import replay
from hybrid.mediator.surroundings import Surroundings
from tests.runtime.messages import Completed, Noted, Paid, Pay, Place, Ship

NOW = 1_700_000_000_000
EVENT = Place(order="o1")
CATALOG = Catalog([Paid, Noted])


async def run(function, record=None):
    """Run it once, where an event loop runs; return its progress."""
    record = record or FlowRecord("f1")
    flow = Flow(record, Envelope("f1", "place"), Surroundings(CATALOG, 10_000, NOW))
    loop = asyncio.get_running_loop()
    progress = replay(function, EVENT, flow)
    assert asyncio.get_running_loop() is loop
    return progress


def recorded(progress, *results):
    """Return the record that this progress leads to, with these results of the steps."""
    record = FlowRecord("f1")
    for step, result in zip(progress.issued, results, strict=False):
        if result is not None:
            record.results[step.number] = result
    record.steps.update(issued(progress, NOW))
    record.values.update(progress.values)
    return record


PAID = Result(REPLY, "paid", 1, pack({"order": "o1", "receipt": "r"}))


async def pay(event: Place, flow: Flow) -> Completed:
    paid = await flow.do(Pay(order=event.order), timeout=1.5)
    return Completed(order=paid.receipt if paid else "nothing")


async def test_it_says_what_it_issues_and_awaits():
    progress = await run(pay)
    assert (progress.state, progress.waiting) == ("running", [1])
    (step,) = progress.issued
    assert (step.number, step.kind, step.name, step.timeout) == (1, "command", "pay", 1500)
    assert step.message == Pay(order="o1")
    assert step.data == pack({"order": "o1", "amount": 10})


@pytest.mark.parametrize(("result", "order"), [(PAID, "r"), (Result(NOTHING), "nothing")])
async def test_with_the_results_it_goes_on(result, order):
    progress = await run(pay, recorded(await run(pay), result))
    assert (progress.state, progress.event, progress.issued) == ("completed", Completed(order=order), [])


@pytest.mark.parametrize(
    ("result", "error"), [(Result(TIMEOUT), StepTimeout), (Result(GIVEN_UP, data=b"why"), CommandFailed)]
)
async def test_a_result_may_be_an_error(result, error):
    progress = await run(pay, recorded(await run(pay), result))
    assert progress.state == "failed"
    assert isinstance(progress.error, error)
    assert (progress.error.flow, progress.error.step, progress.error.command) == ("f1", 1, "pay")


async def test_it_awaits_only_what_is_missing():
    async def both(event: Place, flow: Flow):
        await flow.all(Pay(order="a"), Ship(order="b"), Pay(order="c"))

    first = await run(both)
    assert first.waiting == [1, 2, 3]
    second = await run(both, recorded(first, PAID, None, PAID))
    assert (second.waiting, second.issued) == ([2], [])


async def test_of_a_race_the_one_that_was_done_first_is_first_for_ever():
    async def race(event: Place, flow: Flow):
        steps = [flow.do(Pay(order=order)) for order in "abc"]
        return Completed(order=str((await flow.race(*steps))[0]))

    first = await run(race)
    assert (first.waiting, first.need) == ([1, 2, 3], 1)
    record = recorded(first, None, PAID._replace(done=7), PAID._replace(done=6))
    second = await run(race, record)
    assert (second.event, second.values) == (Completed(order="2"), {1: (2, 3)})
    record.results[1] = PAID._replace(done=5)  # of a mediator whose clock is behind
    assert (await run(race, record)).event == Completed(order="2")


async def test_values_are_taken_from_the_record():
    async def draw(event: Place, flow: Flow):
        return Completed(order=f"{flow.now().timestamp()} {flow.random()} {flow.uuid()}")

    first = await run(draw)
    assert sorted(first.values) == [1, 2, 3]
    assert first.event.order.startswith(f"{NOW / 1000} ")
    second = await run(draw, recorded(first))
    assert second.event == first.event
    assert second.values == {}


async def test_a_refusal_without_an_event():
    async def refuse(event: Place, flow: Flow):
        raise Refused(None)

    progress = await run(refuse)
    assert (progress.state, progress.event) == ("refused", None)


async def test_what_is_caught_too_broadly_does_not_count():
    async def broad(event: Place, flow: Flow):
        try:
            await flow.do(Pay(order="o1"))
        except BaseException:
            flow.do(Ship(order="o1"))

    progress = await run(broad)
    assert (progress.state, [s.message for s in progress.issued]) == ("running", [Pay(order="o1")])


async def test_a_step_that_is_driven_by_hand():
    async def by_hand(event: Place, flow: Flow):
        step = flow.do(Pay(order="o1")).__await__()
        next(step)
        next(step)

    progress = await run(by_hand)
    assert progress.state == "failed"
    assert "swallowed the end of its run" in str(progress.error)


async def test_an_event_that_a_step_brought_is_no_news():
    async def hand_on(event: Place, flow: Flow):
        return await flow.do(Pay(order="o1"))

    assert not (await run(hand_on, recorded(await run(hand_on), PAID))).ending.is_news
    assert (await run(pay, recorded(await run(pay), PAID))).ending.is_news


async def test_a_failed_run_issues_nothing():
    async def fail(event: Place, flow: Flow):
        flow.do(Pay(order="o1"))
        flow.random()
        raise FlowError("x")

    progress = await run(fail)
    assert (progress.state, progress.issued, progress.values) == ("failed", [], {})


async def test_a_command_of_another_schema_version_is_the_same_when_its_name_is():
    class Pay(Command, version=2):
        order: str
        cents: int

    async def pay_cents(event: Place, flow: Flow) -> Completed:
        paid = await flow.do(Pay(order=event.order, cents=1000), timeout=1.5)
        return Completed(order=paid.receipt)

    before, after = await run(pay), await run(pay_cents)
    assert (await run(pay_cents, recorded(before, PAID))).event == Completed(order="r")
    assert (await run(pay, recorded(after, PAID))).event == Completed(order="r")
    assert Issued(*unpack(recorded(after).steps[1].packed())) == recorded(after).steps[1]
    changed = recorded(after, PAID)
    changed.steps[1] = changed.steps[1]._replace(checksum=1)
    assert isinstance((await run(pay_cents, changed)).error, NonDeterministicFlow)


async def test_a_reply_that_only_newer_code_can_read_ends_the_run_whatever_is_caught():
    async def careless(event: Place, flow: Flow) -> Completed:
        with suppress(BaseException):
            await flow.do(Pay(order=event.order))
        return Completed(order=event.order)

    for reply in (Result(REPLY, "paid", 2, pack({"order": 1})), Result(REPLY, "unheard-of", 1, b"\x80")):
        progress = await run(careless, recorded(await run(careless), reply))
        assert progress.state == "failed"
        assert isinstance(progress.error, NewerMessage | UnknownMessage)


def test_without_a_loop_it_runs_too():
    flow = Flow(FlowRecord("f1"), Envelope("f1", "place"), Surroundings(CATALOG, 10_000, NOW))
    assert replay(pay, EVENT, flow).state == "running"


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e18])
async def test_a_time_that_is_none_is_refused(seconds):
    async def place(event: Place, flow: Flow):
        await flow.sleep(seconds)

    progress = await run(place)
    assert str(progress.error) == f"a sleep of {seconds:g} s is not possible: 0 to ten years are"


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (asyncio.CancelledError(), "a flow raised CancelledError"),
        (GeneratorExit(), "a flow raised GeneratorExit"),
        (Promote("nonsense", "why"), "raise Promote takes HARD or COMPLEX, and why, not 'nonsense'"),
        (Promote(None, None), "raise Promote takes HARD or COMPLEX, and why, not None"),
    ],
)
async def test_whatever_is_raised_fails_the_flow(raised, error):
    async def place(event: Place, flow: Flow):
        raise raised

    progress = await run(place)
    assert (progress.state, str(progress.error)) == ("failed", error)
