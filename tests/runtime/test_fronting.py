"""The front door at work: classification, delegation, simple events, and what goes wrong there."""

import asyncio

import pytest

from hybrid import COMPLEX, HARD, SIMPLE, Flow, Mediator, Processor, SimpleMediator
from hybrid.envelope import from_fields
from tests.runtime.messages import Completed, Noted, Paid, Pay, Place, Renamed
from tests.runtime.world import until


@pytest.fixture
def payment():
    """A processor that pays."""
    payment = Processor("payment")

    @payment.on(Pay)
    async def pay(command: Pay) -> Paid:
        return Paid(order=command.order)

    return payment


async def test_a_simple_event_leads_to_commands_and_broadcasts_in_one_settle(world, payment):
    front = SimpleMediator("front")

    @front.on(Place)
    def placed(event):
        return [Pay(order=event.order), Noted(text="a"), Noted(text="b")]

    async with world.running(front, payment) as client:
        await client.send(Place(order="o1"), id="e1")
        outcome = await client.wait("e1")
        assert (outcome.state, outcome.event) == ("completed", None)
        assert (await client.wait("e1")).state == "completed"  # also for those who ask later
        await until(lambda: world.counter("settled:payment") == 1)
    noted = world.broadcasts(Noted)
    assert [(e.cause, e.correlation, e.source) for e in noted] == [("e1", "e1", "front")] * 2
    assert len({e.id for e in noted}) == 2
    (line,) = [line for line in world.log() if line.component == "front"]
    assert (line.outcome, line.note) == ("classified", "simple by placed")
    assert world.raw.exists(world.keys.flow("e1")) == 0


@pytest.mark.parametrize("given", [None, [], Noted(text="one")])
async def test_it_may_lead_to_nothing_or_to_one(world, given):
    front = SimpleMediator("front")

    @front.on(Renamed)
    def renamed(event):
        return given

    async with world.running(front) as client:
        receipt = await client.send(Renamed(customer="c"))
        assert (await client.wait(receipt.id)).state == "completed"
    assert len(world.broadcasts(Noted)) == (1 if given else 0)


async def test_class_rule_and_reason_go_with_the_event_to_its_mediator(world):
    front = SimpleMediator("front")
    hard, difficult = Mediator("hard", handles=HARD), Mediator("complex", handles=[COMPLEX])

    @front.classify(Place, SIMPLE, HARD, COMPLEX)
    def by_total(event):
        if event.total > 100:
            return COMPLEX.because("over 100")
        return HARD if event.total else SIMPLE.because("nothing to pay")

    @front.on(Place)
    def nothing_to_pay(event):
        return None

    @hard.flow(Place)
    @difficult.flow(Place)
    async def place(event: Place, flow: Flow) -> Completed:
        return Completed(order=f"{flow.envelope.class_} {flow.envelope.rule} {flow.envelope.reason}")

    async with world.running(front, hard, difficult) as client:
        for id, total in (("s", 0), ("h", 50), ("c", 500)):
            await client.send(Place(order="o1", total=total), id=id)
        assert (await client.wait("s")).event is None
        assert (await client.wait("h")).event == Completed(order="hard by_total ")
        assert (await client.wait("c")).event == Completed(order="complex by_total over 100")
    assert world.flow("c").facts["mediator"] == "complex"
    assert world.flow("c").facts["reason"] == "over 100"
    assert {line.note for line in world.log() if line.component == "front"} == {
        "simple by by_total: nothing to pay",
        "hard by by_total",
        "complex by by_total: over 100",
    }


async def test_what_a_promoted_class_sends_is_unchanged(world):
    """Delegation hands the very data on, with its id, key and time."""
    front, hard = SimpleMediator("front"), Mediator("hard", handles=HARD)

    @front.classify(Place, HARD)
    def rule(event):
        return HARD

    @hard.flow(Place)
    async def place(event: Place, flow: Flow):
        return None

    app = world.app(front, hard)
    async with app.running("front") as client:
        await client.send(Place(order="ö", total=3), id="e1")
        await until(lambda: world.raw.xlen(world.keys.event("hard")))
    ((entry, fields),) = world.raw.xrange(world.keys.event("hard"))
    envelope = from_fields(fields, entry)
    assert (envelope.id, envelope.key, envelope.class_, envelope.rule) == ("e1", "ö", "hard", "rule")
    assert world.counter("entered:event:hard") == world.counter("settled:front") == 1


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (lambda event: 1 / 0, "division by zero"),
        (lambda event: COMPLEX, "rule named gave <EventClass.COMPLEX: 'complex'>, it declares SIMPLE, HARD"),
        (lambda event: "hard", None),
        (lambda event: None, "rule named gave None, it declares SIMPLE, HARD"),
    ],
)
async def test_a_rule_that_goes_wrong_is_a_failure_and_those_who_wait_are_told(world, given, text):
    front, hard = SimpleMediator("front"), Mediator("hard", handles=HARD)
    given.__name__ = "named"
    front.classify(Place, SIMPLE, HARD)(given)

    @front.on(Place)
    def placed(event):
        return None

    @hard.flow(Place)
    async def place(event: Place, flow: Flow):
        return None

    async with world.running(front, hard) as client:
        await client.send(Place(order="o1"), id="e1")
        outcome = await client.wait("e1", timeout=5)
        if text is None:  # the class by its value: as good as the class
            assert outcome.state == "completed"
            return
        assert outcome.state == "failed"
    (failure,) = world.failures("front")
    assert failure.message == text
    assert failure.envelope.id == "e1"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["text"], "front: Renamed led to a str, no message"),
        ([Noted()] * 6, "front sends 6 messages at once, the limit is 5 (HYBRID_MAX_OUTPUTS)"),
        ([Noted(text="n" * 2000)] * 5, "HYBRID_MAX_SETTLE_BYTES"),
        ([Noted(text="n" * 5000)], "HYBRID_MAX_MESSAGE_BYTES"),
        (7, "not iterable"),
    ],
)
async def test_what_a_simple_event_may_not_lead_to_is_a_failure(world, given, error):
    front = SimpleMediator("front")

    @front.on(Renamed)
    def renamed(event):
        return given

    limits = {"max_outputs": 5, "max_settle_bytes": 8000, "max_message_bytes": 4000}
    async with world.running(front, **limits) as client:
        receipt = await client.send(Renamed(customer="c"))
        assert (await client.wait(receipt.id, timeout=5)).state == "failed"
        assert error in (await world.failure("front")).message
    assert world.broadcasts(Noted) == []


async def test_what_does_not_enter_there_is_a_failure_and_the_next_goes_on(world):
    front = SimpleMediator("front")

    @front.on(Renamed)
    def renamed(event):
        return None

    own = world.keys.event("front")
    world.raw.xadd(own, {"id": "x1", "type": "noted", "data": b"\x80"})
    world.raw.xadd(own, {"id": "x2", "type": "no-such", "data": b"\x80"})
    world.raw.xadd(own, {"odd": "entry"})
    async with world.running(front) as client:
        receipt = await client.send(Renamed(customer="c"))
        assert (await client.wait(receipt.id)).state == "completed"
        await until(lambda: len(world.failures("front")) == 3)
    assert [f.error for f in world.failures("front")] == [
        "NotRegistered",
        "UnknownMessage",
        "UndecodableMessage",
    ]


async def test_a_failed_event_goes_on_when_it_is_sent_back(world):
    broken = [True]
    front = SimpleMediator("front")

    @front.on(Renamed)
    def renamed(event):
        assert not broken, "not yet"
        return Noted(text=event.customer)

    app = world.app(front)
    async with app.running() as client:
        await client.send(Renamed(customer="c"), id="e1")
        assert (await client.wait("e1", timeout=5)).state == "failed"
        broken.clear()
        waiting = asyncio.create_task(client.wait("e1", timeout=5))
        await world.send_back(app, await world.failure("front"))
        assert (await waiting).state == "completed"
    assert len(world.broadcasts(Noted)) == 1
