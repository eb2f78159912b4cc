"""Checking a function against recorded flows: what fits, and the first step that does not."""

import pytest

from hybrid import Flow, Refused, StepTimeout, seconds
from hybrid.catalog import Catalog
from hybrid.codec import encode, pack
from hybrid.envelope import Envelope
from hybrid.mediator.advance import issued
from hybrid.mediator.checking import MASKED, Difference, differs
from hybrid.mediator.record import (
    ANSWERED,
    FIRED,
    HEARD,
    NOTHING,
    REPLY,
    SIGNALLED,
    TIMEOUT,
    UNDO,
    FlowRecord,
    Issued,
    Result,
)
from hybrid.mediator.replay import replay
from hybrid.mediator.surroundings import Surroundings
from tests.runtime.messages import Completed, Denied, Noted, Paid, Pay, Place, Ship

CATALOG = Catalog([Place, Pay, Paid, Ship, Completed, Denied, Noted])
FACTS = {"type": "place", "schema": "1", "mediator": "orders", "code": "1", "version": "1", "started": "1000"}


def reply(event, done=1):
    return Result(REPLY, event.type_name, event.type_version, pack(event.__dict__), done=done)


PAID = reply(Paid(order="o", receipt="r"))


def ran(function, *results, come=False, **facts):
    """Return the record of a flow that this function has run on, with these results of its steps, one by one;
    `come`: nobody has taken the last one yet.
    """
    record = FlowRecord("f1", {**FACTS, "state": "running"}, event=encode(Place(order="o"), 9999))
    record.begun = True
    left = list(results)
    while True:
        flow = Flow(record, Envelope("f1", "place"), Surroundings(CATALOG, 9999, 1000, lambda event: "front"))
        progress = replay(function, Place(order="o"), flow)
        record.steps |= issued(progress, 1000)
        record.waits, record.facts["need"] = set(progress.waiting), str(progress.need)
        if progress.state != "running" or not left:
            break
        record.results[min(record.waits)] = left.pop(0)
        if come and not left:
            record.facts["need"] = "0"
            break
    if progress.ending:
        record.facts |= {"state": progress.state, "ended": "2000"}
        record.outcome = progress.ending.event[:3] if progress.ending.event else None
    elif progress.error:
        record.facts |= {"state": "failed", "error": str(progress.error)}
    record.facts |= facts
    return record


async def before(event: Place, flow: Flow) -> Completed:
    paid = await flow.do(Pay(order=event.order))
    if isinstance(paid, Denied):
        raise Refused(paid)
    await flow.sleep(60)
    said = await flow.signal("go")
    flow.now()
    await flow.do(Ship(order=paid.receipt))
    return Completed(order=f"{paid.receipt}{said}")


SIGNAL = Result(SIGNALLED, data=pack({"n": 1}))
WAYS = {
    "first step": (),
    "sleeps": (PAID,),
    "waits for a signal": (PAID, Result(FIRED)),
    "last step": (PAID, Result(FIRED), SIGNAL),
    "completed": (PAID, Result(FIRED), SIGNAL, Result(NOTHING)),
    "refused": (reply(Denied(order="o")),),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("come", [False, True])
def test_the_same_code_fits(way, come):
    record = ran(before, *WAYS[way], come=come)
    copy = ran(before, *WAYS[way], come=come)
    assert differs(before, record, CATALOG) is None
    assert record == copy  # nothing was changed


@pytest.mark.parametrize("way", WAYS)
def test_a_step_before_all_others_is_named(way):
    async def after(event: Place, flow: Flow) -> Completed:
        await flow.do(Ship(order="first"))
        return await before(event, flow)

    assert differs(after, ran(before, *WAYS[way]), CATALOG) == Difference(1, "pay", "ship")


def test_other_data_is_named():
    async def after(event: Place, flow: Flow) -> None:
        await flow.do(Pay(order=event.order, amount=7))

    record = ran(before)
    assert str(differs(after, record, CATALOG)) == "step 1: was pay, is now pay with other data"
    record.facts[MASKED] = "1"
    assert differs(after, record, CATALOG) is None


def test_a_step_in_between_is_named_by_those_that_got_so_far():
    async def after(event: Place, flow: Flow) -> Completed:
        paid = await flow.do(Pay(order=event.order))
        if isinstance(paid, Denied):
            raise Refused(paid)
        await flow.sleep(60)
        said = await flow.signal("stop")
        flow.now()
        await flow.do(Ship(order=paid.receipt))
        return Completed(order=f"{paid.receipt}{said}")

    found = {way: differs(after, ran(before, *results), CATALOG) for way, results in WAYS.items()}
    other = Difference(3, "go", "stop")
    fits = dict.fromkeys(("first step", "sleeps", "refused"))
    assert found == {**fits, **dict.fromkeys(("waits for a signal", "last step", "completed"), other)}


def test_steps_that_are_no_more_are_named():
    async def after(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        return Completed(order="r{'n': 1}")

    assert differs(after, ran(before, *WAYS["sleeps"]), CATALOG) == Difference(2, "sleep 1 m", "completed")
    assert differs(after, ran(before, *WAYS["completed"]), CATALOG) == Difference(2, "sleep 1 m", "completed")

    async def both(event: Place, flow: Flow) -> None:
        await flow.all(Pay(order=event.order), Ship(order=event.order))

    async def lazy(event: Place, flow: Flow) -> None:
        await flow.do(Pay(order=event.order))

    assert differs(lazy, ran(both), CATALOG) == Difference(2, "ship", "waiting")


def test_more_steps_at_the_end_are_named():
    async def after(event: Place, flow: Flow) -> Completed:
        done = await before(event, flow)
        await flow.do(Ship(order="more"))
        return done

    assert differs(after, ran(before, *WAYS["completed"]), CATALOG) == Difference(5, "completed", "ship")
    assert differs(after, ran(before, *WAYS["last step"]), CATALOG) is None

    async def at_once(event: Place, flow: Flow) -> None:
        pay, ship = flow.do(Pay(order=event.order)), flow.do(Ship(order=event.order))
        await pay
        await ship

    assert differs(at_once, ran(before), CATALOG) == Difference(2, "waiting for pay", "ship")
    assert differs(at_once, ran(before, PAID, come=True), CATALOG) is None  # it goes on from there


def test_another_end_is_named():
    completed = ran(before, *WAYS["completed"])

    async def other(event: Place, flow: Flow) -> Completed:
        await before(event, flow)
        return Completed(order="other")

    async def another(event: Place, flow: Flow) -> Noted:
        await before(event, flow)
        return Noted()

    async def nothing(event: Place, flow: Flow) -> None:
        await before(event, flow)

    async def refuses(event: Place, flow: Flow) -> None:
        await before(event, flow)
        raise Refused(Denied(order="o"))

    async def breaks(event: Place, flow: Flow) -> None:
        await before(event, flow)
        raise ValueError("broken")

    assert [
        differs(function, completed, CATALOG) for function in (other, another, nothing, refuses, breaks)
    ] == [
        Difference(5, "completed with completed", "completed with another completed"),
        Difference(5, "completed with completed", "completed with noted"),
        Difference(5, "completed with completed", "completed with nothing"),
        Difference(5, "completed", "refused"),
        Difference(5, "completed", "ValueError: broken"),
    ]
    completed.facts[MASKED] = "1"
    assert differs(other, completed, CATALOG) is None
    assert differs(another, completed, CATALOG) is not None


def test_values_that_are_more_or_fewer_are_named():
    async def more(event: Place, flow: Flow) -> Completed:
        flow.random()
        return await before(event, flow)

    async def fewer(event: Place, flow: Flow) -> Completed:
        paid = await flow.do(Pay(order=event.order))
        await flow.sleep(60)
        said = await flow.signal("go")
        await flow.do(Ship(order=paid.receipt))
        return Completed(order=f"{paid.receipt}{said}")

    completed = ran(before, *WAYS["completed"])
    values = "values of flow.now, random, uuid and race"
    assert differs(more, completed, CATALOG) == Difference(5, f"1 {values}", "2 of them")
    assert differs(fewer, completed, CATALOG) == Difference(5, f"1 {values}", "0 of them")
    assert differs(more, ran(before), CATALOG) == Difference(2, f"0 {values}", "1 of them")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("come", [False, True])
def test_a_change_behind_a_patch_fits_everywhere(way, come):
    async def after(event: Place, flow: Flow) -> Completed:
        if flow.patched("ship-first"):
            await flow.do(Ship(order="first"))
        paid = await flow.do(Pay(order=event.order))
        if isinstance(paid, Denied):
            raise Refused(paid)
        await flow.sleep(60)
        if flow.patched("ask-twice"):
            await flow.signal("now")
        said = await flow.signal("go")
        flow.now()
        await flow.do(Ship(order=paid.receipt))
        if flow.patched("more"):
            await flow.do(Ship(order="more"))
        return Completed(order=f"{paid.receipt}{said}")

    assert differs(after, ran(before, *WAYS[way], come=come), CATALOG) is None


def test_a_difference_that_is_caught_is_one():
    async def careless(event: Place, flow: Flow) -> Completed:
        try:
            await flow.do(Ship(order="other"))
        except Exception:
            return Completed(order="caught")

    assert differs(careless, ran(before), CATALOG) == Difference(1, "pay", "ship")


def test_one_that_failed_must_do_what_is_on_record_and_may_go_on():
    async def broken(event: Place, flow: Flow) -> None:
        await flow.do(Pay(order=event.order))
        raise ZeroDivisionError

    async def mended(event: Place, flow: Flow) -> Completed:
        await flow.do(Pay(order=event.order))
        await flow.do(Ship(order=event.order))
        return Completed(order="o")

    async def worse(event: Place, flow: Flow) -> None:
        raise ZeroDivisionError("at once")

    failed = ran(broken, PAID)
    assert failed.state == "failed"
    assert differs(broken, failed, CATALOG) is None
    assert differs(mended, failed, CATALOG) is None
    assert differs(worse, failed, CATALOG) == Difference(1, "pay", "ZeroDivisionError: at once")


def test_one_that_was_cancelled_must_do_what_its_function_had_done():
    cancelled = ran(before, PAID, state="cancelled", ended="5")
    cancelled.steps[3] = Issued("ship", 1, 1, 0, UNDO)  # which no function issues
    assert differs(before, cancelled, CATALOG) is None

    async def after(event: Place, flow: Flow) -> None:
        await flow.do(Pay(order=event.order))
        await flow.sleep(61)

    assert differs(after, cancelled, CATALOG) == Difference(2, "sleep 1 m", "sleep 61 s")


def test_a_timeout_is_a_result_as_any_other():
    async def patient(event: Place, flow: Flow) -> Completed:
        try:
            await flow.do(Pay(order=event.order), timeout=seconds(5))
        except StepTimeout:
            return Completed(order="late")
        return Completed(order="in time")

    record = ran(patient, Result(TIMEOUT))
    assert record.state == "completed"
    assert differs(patient, record, CATALOG) is None


def test_an_event_that_can_not_be_read_any_more_and_a_function_that_takes_none():
    record = ran(before)
    found = differs(before, record, Catalog([Pay]))
    assert (found.step, found.now) == (0, "UnknownMessage: no message is called 'place'")

    async def takes_nothing() -> None:
        pass

    assert differs(takes_nothing, record, CATALOG).now.startswith("TypeError")


def test_a_reply_that_can_not_be_read_any_more_is_told():
    found = differs(before, ran(before, PAID), Catalog([Place, Pay]))
    assert found == Difference(2, "sleep 1 m", "UnknownMessage: no message is called 'paid'")


def test_people_children_and_waits_are_steps_as_any_other():
    async def asks(event: Place, flow: Flow) -> Completed:
        heard = flow.wait(Paid, match={"order": event.order})
        answer = await flow.ask("May it go?", choices=("yes", "no"))
        child = await flow.child(Place(order=answer.choice))
        await heard
        return Completed(order=child.order)

    said = Result(ANSWERED, data=pack(["yes", "", None]), by="ann")
    record = ran(asks, said, reply(Completed(order="x")), PAID._replace(kind=HEARD))
    assert record.state == "completed"
    copy = ran(asks, said, reply(Completed(order="x")), PAID._replace(kind=HEARD))
    assert differs(asks, record, CATALOG) is None
    assert record == copy

    async def other(event: Place, flow: Flow) -> None:
        flow.wait(Paid, match={"order": event.order})
        await flow.ask("May it go?", choices=("yes", "no", "later"))

    assert differs(other, record, CATALOG).step == 2
