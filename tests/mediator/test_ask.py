"""People's tasks, as a flow asks them: answered once, by one person, whoever else wants to."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import BaseModel, Field

from hybrid import (
    Flow,
    TaskClosed,
    TaskOpened,
)
from hybrid.codec import unpack
from tests.mediator.flows import front_door, orders
from tests.runtime.messages import Completed, Place
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
