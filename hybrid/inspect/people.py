"""What people do to tasks of a store: claim them, answer them, give them to somebody else. Each is one
settle: of two at once one is first, and the other is told who was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hybrid.broker.shard import Shard, Store
from hybrid.errors import TaskOver, TaskTaken, UnknownTask
from hybrid.inspect.forms import form_of
from hybrid.mediator.answers import Answer, packed_answer
from hybrid.mediator.record import ANSWERED, TIMEOUT, FlowRecord, Result
from hybrid.mediator.task_changes import (
    DROPPED,
    TIMED_OUT,
    Asked,
    Person,
    answered,
    asked_of,
    claimed,
    reassigned,
)
from hybrid.mediator.tasks import LONGEST_NAME, LONGEST_WHY, checked_words, task_id
from hybrid.streams.transitions import APPLIED, Transition
from hybrid.topology import Topology


class Found(NamedTuple):
    """A flow's step that asks, or asked, people."""

    shard: Shard
    record: FlowRecord
    step: int

    @property
    def id(self) -> str:
        """Its id for people."""
        return task_id(self.record.id, self.step)

    @property
    def result(self) -> Result | None:
        """How it ended, None when it has not, or was dropped."""
        return self.record.results.get(self.step)

    def asked(self) -> Asked:
        """Return the task. Raises TaskOver when nobody is asked any more."""
        if asked := asked_of(self.shard.keys, self.record, self.step):
            return asked
        raise TaskOver(self.id, *over(self.result))


def over(result: Result | None) -> tuple[str, str, int]:
    """Return how a task is over: how, by whom, and when (ms, 0 for what is not known)."""
    if result is None:
        return DROPPED, "", 0
    return TIMED_OUT if result.kind == TIMEOUT else result.kind, result.by, result.done


async def found(store: Store, id: str) -> Found:
    """Return the task of an id, FLOW/STEP; FLOW alone is enough when it is the only one that is open. Raises
    UnknownTask.
    """
    flow, slash, number = id.partition("/")
    for shard in store.shards:
        fields = await shard.queries.hash(shard.keys.flow(flow))
        if not fields:
            continue
        record = FlowRecord.read(flow, fields)
        steps = sorted(record.tasks)
        if slash:
            steps = [n for n in steps if str(n) == number]
        else:
            steps = [n for n in steps if n not in record.results]
        if len(steps) == 1:
            return Found(shard, record, steps[0])
    raise UnknownTask(id)


class People:
    """What people do to the tasks of a store; each raises UnknownTask, TaskTaken, TaskOver,
    ServerUnavailable, and ApplicationError for a name that is none.
    """

    def __init__(self, store: Store, topology: Topology) -> None:
        self._store = store
        self._topology = topology

    async def claim(self, id: str, by: str, *, take_over: bool = False) -> None:
        """Claim a task for `by`: nobody else answers it from then on. One who has it, has it."""
        checked_words("by", by, LONGEST_NAME)

        def change(found: Found, at: int) -> Transition | None:
            asked = found.asked()
            if asked.task.claimed_by == by:
                return None
            if not take_over:
                _check_free(asked, by)
            return claimed(asked, Person(by, "", at))

        await self._change(id, change)

    async def reassign(self, id: str, to: str, by: str, why: str = "") -> None:
        """Give a task to somebody else; who has claimed it, has not any more."""
        checked_words("to", to, LONGEST_NAME)
        checked_words("by", by, LONGEST_NAME)
        if why:
            checked_words("why", why, LONGEST_WHY)

        def change(found: Found, at: int) -> Transition | None:
            asked = found.asked()
            if (asked.task.for_, asked.task.claimed_by) == (to, ""):
                return None
            return reassigned(asked, to, Person(by, why, at))

        await self._change(id, change)

    async def answer(self, id: str, answer: Answer[Any]) -> None:
        """Answer a task. Raises InvalidMessage for an answer that it does not take: nothing is written
        then.
        """
        checked_words("by", answer.by, LONGEST_NAME)
        written: list[bytes] = []

        def change(found: Found, at: int) -> Transition | None:
            if written and found.result and found.result[:5] == (ANSWERED, "", 1, written[0], answer.by):
                return None  # the answer was ours: the server's reply was lost
            asked = found.asked()
            _check_free(asked, answer.by)
            packed = packed_answer(asked.task, form_of(self._topology, found.record, asked), answer, asked.id)
            written[:] = [packed]
            return answered(asked, answer.choice, packed, Person(answer.by, answer.note, at))

        await self._change(id, change)

    async def _change(self, id: str, change: Callable[[Found, int], Transition | None]) -> None:
        """Settle a change; if the task is another one by then, look again: that says who was first."""
        code = 0
        while code != APPLIED:
            task = await found(self._store, id)
            transition = change(task, await task.shard.queries.now())
            if transition is None:
                return
            code = await task.shard.settler.settle(transition)


def _check_free(asked: Asked, by: str) -> None:
    if asked.task.claimed_by not in ("", by):
        raise TaskTaken(asked.id, asked.task.claimed_by, asked.task.claimed)
