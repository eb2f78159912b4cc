"""People's tasks, as a flow asks them: answered once, by one person, whoever else wants to."""

import asyncio
import re
import time
from decimal import Decimal

import pytest
from pydantic import BaseModel, Field

from hybrid import (
    Flow,
    Processor,
    Secret,
    StepTimeout,
    TaskClosed,
    TaskEscalated,
    TaskOpened,
    TaskReassigned,
    TaskReminded,
)
from hybrid.codec import unpack
from hybrid.errors import ApplicationError, InvalidMessage, TaskOver, TaskTaken, UnknownTask
from hybrid.inspect.flows import flow as view_of
from hybrid.inspect.flows import summaries
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.steering import Steering
from hybrid.inspect.tasks import task as inspect_task
from hybrid.inspect.trace import trace
from hybrid.runtime import advancing
from tests.mediator.flows import front_door, orders
from tests.runtime.messages import Completed, Pay, Place, Ship
from tests.runtime.world import until


@pytest.fixture
def front():
    """A front door by which orders enter."""
    return front_door()


class Decision(BaseModel):
    """A form."""

    amount: Decimal = Field(gt=0)
    reason: str = ""


async def approval(event: Place, flow: Flow) -> Completed:
    """Ask for one of two choices."""
    answer = await flow.ask(
        "Approve?", choices=["approve", "refuse"], for_="manager", about={"order": event.order}
    )
    return Completed(order=f"{answer.choice} by {answer.by}: {answer.note}")


async def form(event: Place, flow: Flow) -> Completed:
    """Ask for a form."""
    answer = await flow.ask("How much?", schema=Decision)
    return Completed(order=f"{answer.data!r}")


async def asked(client, most=1):
    """Wait until so many tasks are open; return them."""

    async def enough():
        tasks = await client.tasks()
        return tasks if len(tasks) >= most else None

    return await until(enough)


def told(world, event):
    """What was broadcast of a kind of event."""
    rows = world.raw.xrange(world.keys.topic(event.type_name))
    return [event(**unpack(fields[b"data"])) for _, fields in rows]


def left(world):
    """What is left of tasks: in the index, and on the schedule."""
    return world.raw.zcard(world.keys.tasks), world.raw.zcard(world.keys.timers)


async def test_a_flow_asks_and_goes_on_with_the_answer(world, front):
    async with world.running(front, orders(approval)) as client:
        await client.send(Place(order="o1"), id="f1")
        (task,) = await asked(client)
        assert (task.id, task.question, task.for_, task.type) == ("f1/1", "Approve?", "manager", "place")
        assert (task.choices, task.about, task.due) == (("approve", "refuse"), {"order": "o1"}, 0)
        assert await client.tasks(for_="director") == []
        await client.answer("f1/1", choice="approve", note="fine", by="ann")
        assert (await client.wait("f1")).event == Completed(order="approve by ann: fine")
        assert await client.tasks() == []
    assert left(world) == (0, 0)
    (opened,), (closed,) = told(world, TaskOpened), told(world, TaskClosed)
    assert (opened.task, opened.question, opened.for_) == ("f1/1", "Approve?", "manager")
    assert (closed.how, closed.by, closed.choice, closed.note) == ("answered", "ann", "approve", "fine")
    history = [unpack(entry)[1:] for entry in world.raw.lrange(world.keys.history("f1"), 0, -1)]
    assert ["answer", [["ann", "fine", 1, "approve"]]] in history


async def test_a_form_after_a_child_is_answered(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        if event.order == "inner":
            return Completed(order="inner")
        await flow.child(Place(order="inner"))
        return Completed(order=str((await flow.ask("How much?", schema=Decision)).data.amount))

    async with world.running(front, orders(place)) as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        await client.answer("f1", data={"amount": "12.50"}, by="ann")
        assert (await client.wait("f1")).event == Completed(order="12.50")


async def test_a_form_is_validated_and_read_as_the_model(world, front):
    async with world.running(front, orders(form)) as client:
        await client.send(Place(order="o1"), id="f1")
        (task,) = await asked(client)
        assert (task.form, task.choices, task.for_) == ("Decision", (), "")
        await client.answer("f1/1", data={"amount": "12.50"}, by="ann")
        assert (await client.wait("f1")).event == Completed(
            order="Decision(amount=Decimal('12.50'), reason='')"
        )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, r"data: is an object with the form's fields"),
        ({"data": [1]}, r"data: is an object"),
        ({"data": {}}, r"amount: Field required"),
        ({"data": {"amount": "0"}}, r"amount: Input should be greater than 0, got '0'"),
        ({"data": {"amount": 1, "other": 2}}, r"other: there is no such field; those are: amount, reason"),
        ({"data": {"amount": 1, "reason": "x" * 70_000}}, r"data: has 70,\d+ bytes, the most are 65,536"),
        ({"data": {"amount": 1}, "choice": "approve"}, r"choice: there is none to make"),
        ({"data": {"amount": 1}, "note": "n" * 1_001}, r"note: has 1,001 characters, the most are 1,000"),
        ({"data": {"amount": 1}, "note": "\ud800"}, r"note: has characters that are none"),
    ],
)
async def test_a_form_that_is_wrong_writes_nothing(world, front, given, problem):
    async with world.running(front, orders(form)) as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        before = world.raw.hgetall(world.keys.flow("f1"))
        with pytest.raises(InvalidMessage, match=rf"^the answer to f1/1 is not valid: {problem}"):
            await client.answer("f1/1", **given)
        assert world.raw.hgetall(world.keys.flow("f1")) == before


@pytest.mark.parametrize(
    ("given", "error", "problem"),
    [
        ({}, InvalidMessage, r"choice: is one of approve, refuse$"),
        ({"choice": "x" * 200}, InvalidMessage, rf"choice: is one of approve, refuse, not '{'x' * 60}'$"),
        ({"choice": "approve", "data": {"a": 1}}, InvalidMessage, r"data: the task has no form$"),
        ({"choice": "approve", "by": "a\x1b[31m"}, ApplicationError, r"by has the character '\\x1b'"),
        ({"choice": "approve", "by": ""}, ApplicationError, r"by is empty"),
        ({"choice": "approve", "by": "b" * 61}, ApplicationError, r"by has 61 characters, the most are 60"),
    ],
)
async def test_a_choice_that_is_wrong_writes_nothing(world, front, given, error, problem):
    async with world.running(front, orders(approval)) as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        before = world.raw.hgetall(world.keys.flow("f1"))
        with pytest.raises(error, match=problem):
            await client.answer("f1/1", **given)
        assert world.raw.hgetall(world.keys.flow("f1")) == before


async def test_a_task_without_choices_or_form_is_done(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        answer = await flow.ask("Water the plants")
        return Completed(order=repr(answer))

    async with world.running(front, orders(place)) as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        await client.answer("f1", by="ann")  # the flow is enough: it is the only one that is open
        said = "Answer(choice='', data=None, by='ann', note='')"
        assert (await client.wait("f1")).event == Completed(order=said)


async def test_one_answers_of_many_at_once_and_the_others_are_told_who(world, front):
    async with world.running(front, orders(approval)) as client:
        ids = [f"f{n}" for n in range(30)]
        await client.send_many([(Place(order=id), id) for id in ids])
        await asked(client, 30)

        async def says(id, by):
            try:
                await client.answer(f"{id}/1", choice="approve", by=by)
            except TaskOver as over:
                return over.by
            return f"{by} won"

        for id in ids:
            said = await asyncio.gather(*(says(id, f"p{n}") for n in range(8)))
            (won,) = [each for each in said if each.endswith(" won")]
            winner = won.partition(" ")[0]
            assert sorted(said) == sorted([won, *[winner] * 7])
            assert (await client.wait(id)).event == Completed(order=f"approve by {winner}: ")
    assert len(told(world, TaskClosed)) == 30
    assert left(world) == (0, 0)


async def test_one_claims_of_many_at_once_and_the_others_are_told_who(world, front):
    async with world.running(front, orders(approval)) as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)

        async def says(by):
            try:
                await client.claim("f1/1", by=by)
            except TaskTaken as taken:
                return taken.by
            return by

        (winner,) = set(await asyncio.gather(*(says(f"p{n}") for n in range(10))))
        (task,) = await client.tasks()
        assert task.claimed_by == winner
        await client.claim("f1/1", by=winner)  # again changes nothing
        with pytest.raises(TaskTaken, match=rf"is claimed by {winner}, since 20.* UTC: take it over"):
            await client.answer("f1/1", choice="approve", by="somebody")
        await client.claim("f1/1", by="somebody", take_over=True)
        await client.answer("f1/1", choice="approve", by="somebody")
        with pytest.raises(TaskOver, match=r"task f1/1 was answered by somebody at 20"):
            await client.claim("f1/1", by=winner)
    deeds = [unpack(entry)[1:] for entry in world.raw.lrange(world.keys.history("f1"), 0, -1)]
    assert [(what, rows[0][0]) for what, rows in deeds if what == "claim"] == [
        ("claim", winner), ("claim", "somebody"),
    ]  # fmt: skip


async def test_a_task_is_reassigned_and_the_claim_is_gone(world, front):
    async with world.running(front, orders(approval)) as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        await client.claim("f1/1", by="ann")
        await client.reassign("f1/1", to="director", by="bob", why="ann is away")
        (task,) = await client.tasks(for_="director")
        assert (task.claimed_by, task.claimed) == ("", 0)
        await client.reassign("f1/1", to="director")  # it is hers already
        await client.answer("f1/1", choice="refuse", by="eve")
        await client.wait("f1")
    (event,) = told(world, TaskReassigned)
    assert (event.was_for, event.for_, event.claimed_by, event.by, event.why) == (
        "manager", "director", "ann", "bob", "ann is away",
    )  # fmt: skip
    history = [unpack(entry)[1:] for entry in world.raw.lrange(world.keys.history("f1"), 0, -1)]
    assert ["reassign", [["bob", "ann is away", 1, "manager", "director"]]] in history
    assert told(world, TaskClosed)[0].for_ == "director"


async def patient(event: Place, flow: Flow) -> Completed:
    """Ask with all that the clock may do."""
    try:
        answer = await flow.ask(
            "Approve?", choices=["yes"], for_="manager", timeout=1.2, remind=0.2, escalate=(0.5, "director")
        )
    except StepTimeout as late:
        return Completed(order=f"step {late.step} ({late.command}) timed out")
    return Completed(order=answer.choice)


async def test_the_clock_reminds_escalates_and_times_out_once_with_several_workers(world, front):
    app = world.app(front, orders(patient))
    async with app.running() as client, app.worker(), app.worker():
        ids = [f"f{n}" for n in range(10)]
        await client.send_many([(Place(order=id), id) for id in ids])
        await asked(client, 10)
        await client.claim("f0/1", by="ann")
        for id in ids:
            assert (await client.wait(id)).event == Completed(order="step 1 (task Approve?) timed out")
    assert left(world) == (0, 0)
    for id in ids:
        reminded = [event for event in told(world, TaskReminded) if event.flow == id]
        assert [event.times for event in reminded] == list(range(1, len(reminded) + 1))
        assert len(reminded) >= 3
        assert [event.for_ for event in reminded] == sorted((e.for_ for e in reminded), reverse=True)
        (escalated,) = [event for event in told(world, TaskEscalated) if event.flow == id]
        assert (escalated.was_for, escalated.for_) == ("manager", "director")
        assert escalated.claimed_by == ("ann" if id == "f0" else "")
        (closed,) = [event for event in told(world, TaskClosed) if event.flow == id]
        assert (closed.how, closed.by, closed.for_) == ("timed out", "", "director")
    with pytest.raises(TaskOver, match="task f3/1 timed out at 20"):
        async with app.client() as client:
            await client.answer("f3/1", choice="yes", by="ann")


async def test_an_answer_and_the_timeout_at_once_are_one_of_both(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        try:
            return Completed(order=(await flow.ask("Now?", timeout=0.3)).by)
        except StepTimeout:
            return Completed(order="late")

    app = world.app(front, orders(place))
    async with app.running() as client, app.worker():
        ids = [f"f{n}" for n in range(60)]
        await client.send_many([(Place(order=id), id) for id in ids])
        tasks = {task.flow: task for task in await asked(client, 60)}
        before = {}

        async def at_the_end(id, n):
            await asyncio.sleep(max(tasks[id].due / 1000 - time.time() + (n - 30) / 3000, 0))
            try:
                await client.answer(f"{id}/1", by="ann")
            except TaskOver as over:
                return over.how
            return "ann"

        said = await asyncio.gather(*(at_the_end(id, n) for n, id in enumerate(ids)))
        before = dict(zip(ids, said, strict=True))
        outcomes = {id: (await client.wait(id)).event.order for id in ids}
    assert outcomes == {id: "late" if how == "timed out" else "ann" for id, how in before.items()}
    assert sorted(event.flow for event in told(world, TaskClosed)) == sorted(ids)
    assert "late" not in [fact for id in ids for fact in world.flow(id).facts]
    assert left(world) == (0, 0)


@pytest.mark.parametrize("kept", [True, False])
async def test_a_task_is_dropped_with_its_flow(world, front, monkeypatch, kept):
    monkeypatch.setattr(advancing, "PROVEN", 0 if kept else 100)

    async def place(event: Place, flow: Flow) -> Completed:
        asked = flow.ask("Approve?", for_="manager", timeout=60, remind=60, escalate=(30, "director"))
        index, _ = await flow.race(asked, flow.signal("enough"))
        return Completed(order=str(index))

    app = world.app(front, orders(place))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        assert left(world) == (1, 3)
        await client.claim("f1/1", by="ann")
        await client.signal("f1", "enough")
        assert (await client.wait("f1")).event == Completed(order="1")
        with pytest.raises(TaskOver, match=r"task f1/1 was dropped: its flow is over"):
            await client.answer("f1/1", by="ann")
        async with app.store() as store:
            detail = await inspect_task(store, app.topology, "f1/1")
    assert (detail.state, detail.task.question, detail.by) == ("dropped", "Approve?", "")
    assert left(world) == (0, 0)
    (closed,) = told(world, TaskClosed)
    assert (closed.how, closed.by) == ("dropped", "")


async def test_a_task_of_a_flow_that_is_cancelled_is_dropped_also_while_it_is_undone(world, front):
    shop, release = Processor("shop"), asyncio.Event()

    @shop.on(Pay)
    async def pay(command: Pay):
        await release.wait()

    async def place(event: Place, flow: Flow) -> Completed:
        flow.undo(Ship(order=event.order))
        paid, asked = flow.do(Pay(order=event.order)), flow.ask("Approve?", for_="manager", remind=60)
        await paid
        return Completed(order=(await asked).by)

    @shop.on(Ship)
    async def ship(command: Ship): ...

    async with world.running(front, orders(place), shop) as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        await client.cancel("f1", by="ann")
        assert world.flow("f1").state == "undoing"
        with pytest.raises(TaskOver, match="task f1/2 was dropped: its flow is over, or asks no more"):
            await client.answer("f1/2", by="ann")
        assert await client.tasks() == []
        release.set()
        assert (await client.wait("f1")).state == "cancelled"
    assert left(world) == (0, 0)
    assert [event.how for event in told(world, TaskClosed)] == ["dropped"]


async def test_a_restarted_flow_asks_again(world, front):
    app = world.app(front, orders(approval))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        await client.claim("f1/1", by="ann")
        async with app.store() as store:
            await Steering(store, app.topology, "eve", "anew").restart("f1", step=1)
        await until(lambda: len(told(world, TaskOpened)) == 2)
        (task,) = await asked(client)
        assert (task.id, task.claimed_by) == ("f1/1", "")
        await client.answer("f1/1", choice="approve", by="bob")
        assert (await client.wait("f1")).event == Completed(order="approve by bob: ")
    assert left(world) == (0, 0)
    assert [event.how for event in told(world, TaskClosed)] == ["dropped", "answered"]


async def test_an_answer_may_come_before_the_flow_waits_for_it(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        asked = flow.ask("Approve?")
        await flow.signal("go-on")
        return Completed(order=(await asked).by)

    async with world.running(front, orders(place)) as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        await client.answer("f1/1", by="ann")
        await client.signal("f1", "go-on")
        assert (await client.wait("f1")).event == Completed(order="ann")


async def test_a_flow_that_ends_at_once_asks_nobody(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        flow.ask("Approve?", timeout=60)
        return Completed(order="o1")

    async with world.running(front, orders(place)) as client:
        await client.send(Place(order="o1"), id="f1")
        await client.wait("f1")
        with pytest.raises(UnknownTask, match=r"no task f1/1: a task's id is FLOW/STEP"):
            await client.answer("f1/1")
    assert left(world) == (0, 0)
    assert told(world, TaskOpened) == []


@pytest.mark.parametrize("id", ["nothing", "f1/2", "f1/", "f1/1/1", "/", "", "f1/x" * 100])
async def test_what_is_no_task(world, front, id):
    async with world.running(front, orders(approval)) as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        for deed in (
            client.answer(id, choice="approve"), client.claim(id, by="ann"), client.reassign(id, to="ann"),
        ):  # fmt: skip
            with pytest.raises(UnknownTask):
                await deed


class Charged(BaseModel):
    """What a form may not have."""

    card: Secret[str]


class Hidden(BaseModel):
    """A form with a secret in it, deep down."""

    lines: dict[str, list[Charged] | None]


@pytest.mark.parametrize(
    ("question", "how", "problem"),
    [
        ("", {}, "a question is empty"),
        ("x" * 501, {}, "a question has 501 characters, the most are 500"),
        ("one\ntwo", {}, r"a question has the character '\\n'"),
        ("\x1b[31mred", {}, r"a question has the character '\\x1b'"),
        ("\ud800", {}, "a question has the character"),
        (7, {}, "a question is text, no int"),
        ("?", {"choices": "yes"}, "choices is a list of words, not 'yes'"),
        ("?", {"choices": ["yes", "yes"]}, "a choice stands twice among yes, yes"),
        ("?", {"choices": ["yes "]}, "the choice 'yes ' begins or ends with a space"),
        ("?", {"choices": [""]}, "a choice is empty"),
        ("?", {"choices": [f"c{n}" for n in range(51)]}, "51 choices, the most are 50"),
        ("?", {"choices": ["yes"], "schema": Decision}, "choices or a schema, not both"),
        ("?", {"schema": dict}, "a schema is a pydantic model's class, not <class 'dict'>"),
        ("?", {"schema": Hidden}, r"Charged\.card is a secret, and answers of people are shown"),
        ("?", {"for_": "a\tb"}, r"for_ has the character '\\t'"),
        ("?", {"timeout": -1}, "a timeout of -1 is not possible"),
        ("?", {"timeout": float("nan")}, "a timeout of nan is not possible"),
        ("?", {"timeout": 1e12}, "a timeout of 1000000000000.0 is not possible"),
        ("?", {"remind": 0.01}, "remind is 100 ms at least, not 10 ms"),
        ("?", {"escalate": 5}, "escalate is a pair"),
        ("?", {"escalate": (0, "director")}, "escalate after 0 s: it is after some time"),
        ("?", {"escalate": (5, "director"), "timeout": 5}, "before the timeout"),
        ("?", {"about": [1]}, "about is a dict of facts, no list"),
        ("?", {"about": {"it": object()}}, "about is not JSON-ready"),
        ("?", {"about": {"it": {1, 2}}}, "a set has no order"),
        ("?", {"about": {"it": float("inf")}}, "about is not JSON-ready"),
        ("?", {"about": {"it": "x" * 70_000}}, "about has 70,0.. bytes, the most are 65,536"),
    ],
)
async def test_what_can_not_be_asked_is_refused(world, front, question, how, problem):
    async def place(event: Place, flow: Flow) -> Completed:
        try:
            await flow.ask(question, **how)
        except ApplicationError as error:
            return Completed(order=str(error))
        return Completed(order="")

    async with world.running(front, orders(place)) as client:
        await client.send(Place(order="o1"), id="f1")
        assert re.search(problem, (await client.wait("f1")).event.order)
    assert left(world) == (0, 0)


async def test_a_re_run_that_asks_something_else_is_not_deterministic(world, front):
    failures = []
    for changed in ({"choices": ["approve"]}, {"for_": "director"}, {"about": {}}):

        async def place(event: Place, flow: Flow) -> Completed:
            asked = {"choices": ["approve", "refuse"], "for_": "manager", "about": {"order": event.order}}
            await flow.ask("Approve?", **{**asked, **(changed if flow.record.version else {})})  # noqa: B023
            return Completed(order="o1")

        id = f"f{len(failures)}"
        async with world.running(front, orders(place)) as client:
            await client.send(Place(order="o1"), id=id)
            await asked(client)
            await client.answer(f"{id}/1", choice="approve")
            failures.append((await client.wait(id)).reason)
    assert all("step 1 was Approve? and is now Approve? with other data" in reason for reason in failures)


async def test_a_form_that_the_program_does_not_have_is_not_answered(world, front):
    async with world.running(front, orders(form)) as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
    app = world.app(front, orders(form, version=2))
    async with app.client() as client:
        with pytest.raises(ApplicationError, match=r"a form, Decision, which .* it is in version 1 of"):
            await client.answer("f1/1", data={"amount": 1})
        async with app.store() as store:
            assert (await inspect_task(store, app.topology, "f1/1")).schema is None


async def test_a_task_is_shown_with_its_flow_and_not_loose(world, front):
    app = world.app(front, orders(approval))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        await client.claim("f1/1", by="ann")
        async with app.store() as store:
            assert await loose_flows(store, app.topology) == []
            (line,) = await summaries(store, app.topology)
            (waiting,) = (await view_of(store, app.topology, "f1")).steps
            await client.answer("f1/1", choice="approve", note="fine", by="ann")
            await client.wait("f1")
            (answered,) = (await view_of(store, app.topology, "f1")).steps
            root = (await trace(store, app.topology, "f1")).root
            detail = await inspect_task(store, app.topology, "f1/1")
    assert line.waiting_for == ("manager, claimed by ann: Approve?",)
    assert (waiting.kind, waiting.name, waiting.state) == ("task", "task Approve?", "waiting")
    assert waiting.asks == "manager, claimed by ann"
    assert (answered.state, answered.processor, answered.asks) == ("answered", "ann", "")
    assert answered.data == {"choice": "approve", "note": "fine", "data": None}
    assert (detail.state, detail.by, detail.choice, detail.note) == ("answered", "ann", "approve", "fine")
    sent = {each.component: each.sent for each in root.handlings}["orders"]
    assert ("task", "task Approve?", "answered by ann: approve") in [(e.kind, e.type, e.note) for e in sent]


async def test_one_whose_timeout_is_gone_is_loose(world, front):
    app = world.app(front, orders(patient))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await asked(client)
        (close,) = [m for m in world.raw.zrange(world.keys.timers, 0, -1) if unpack(m)[-1] == "close"]
        world.raw.zrem(world.keys.timers, close)
        async with app.store() as store:
            (loose,) = await loose_flows(store, app.topology)
    assert loose.missing == "step 1 (task Approve?)"


async def test_a_new_capability_is_a_new_subscriber(world, front):
    mails, seen = Processor("mails"), []

    @mails.on(TaskOpened)
    async def mail(event: TaskOpened) -> None:
        seen.append((event.for_, event.question, event.about))

    async with world.running(front, orders(approval), mails) as client:
        await client.send(Place(order="o1"), id="f1")
        await until(lambda: seen)
    assert seen == [("manager", "Approve?", {"order": "o1"})]
