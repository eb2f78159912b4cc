"""People's tasks as they are shown: the list of the open ones, and one whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hybrid.broker.shard import Shard, Store
from hybrid.codec import unpack
from hybrid.errors import ApplicationError
from hybrid.inspect.forms import form_of
from hybrid.inspect.people import Found, over
from hybrid.inspect.people import found as found_by
from hybrid.mediator.record import ANSWERED, FlowRecord
from hybrid.mediator.task_changes import Asked, asked_of, task_fields
from hybrid.mediator.tasks import Task
from hybrid.topology import Topology

PAGE = 1_000
OPEN = "open"
NEVER = 1 << 53


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task in one line. Times in ms, 0 for none."""

    id: str
    flow: str
    step: int
    type: str
    """Of the flow's event."""
    question: str
    for_: str
    """For whom it is, "" for anyone."""
    choices: tuple[str, ...]
    form: str
    """The name of the model that it is answered with, "" for none."""
    about: dict[str, Any]
    asked: int
    due: int
    claimed_by: str
    claimed: int
    reminded: int
    """How many times was reminded of it."""
    escalates: int
    escalates_to: str


@dataclass(frozen=True, slots=True)
class TaskDetail:
    """A task, whole: open, answered, timed out or dropped; then by whom and when (ms), and the answer."""

    task: TaskView
    state: str
    schema: dict[str, Any] | None = None
    """The form as a JSON schema; None when there is none, or the application here does not have it."""
    by: str = ""
    at: int = 0
    choice: str = ""
    note: str = ""
    data: Any = None


async def open_tasks(
    store: Store, *, for_: str = "", type: str = "", older_than: int = 0, most: int = 0
) -> list[TaskView]:
    """Return the open tasks, oldest first: at most so many (0: all); only those for somebody, of an event
    type, older than so long (ms).
    """
    found: list[TaskView] = []
    for shard in store.shards:
        until = await shard.queries.now() - older_than if older_than else NEVER
        of_shard: list[TaskView] = []
        async for task in _open(shard, until, PAGE if for_ or type or not most else min(most, PAGE)):
            if for_ in ("", task.for_) and type in ("", task.type):
                of_shard.append(task)
                if len(of_shard) == most:
                    break
        found += of_shard
    found.sort(key=lambda task: task.asked)
    return found[:most] if most else found


async def task(store: Store, topology: Topology, id: str) -> TaskDetail:
    """Return one task, also one that is over. Raises UnknownTask."""
    found = await found_by(store, id)
    asked = asked_of(found.shard.keys, found.record, found.step)
    if asked is None:
        return _over(found)
    try:
        form = form_of(topology, found.record, asked)
    except ApplicationError:
        form = None
    return TaskDetail(
        view(asked, found.record.facts.get("type", "")),
        OPEN,
        form.model_json_schema(by_alias=False) if form else None,
    )


async def to_answer(store: Store, topology: Topology, id: str) -> tuple[TaskView, type[BaseModel] | None]:
    """Return a task that is open, and the form to answer it with (None when it has none). Raises UnknownTask,
    TaskOver, and ApplicationError when the application here does not have the form.
    """
    found = await found_by(store, id)
    asked = found.asked()
    return view(asked, found.record.facts.get("type", "")), form_of(topology, found.record, asked)


def view(asked: Asked, type: str) -> TaskView:
    """Return a task in one line."""
    task = asked.task
    return TaskView(
        asked.id, asked.flow, asked.step, type, asked.question, task.for_, tuple(task.choices), task.schema,
        dict(task.about), asked.asked, asked.due, task.claimed_by, task.claimed, task.reminded,
        asked.asked + task.escalate[0] if task.escalate else 0, task.escalate[1] if task.escalate else "",
    )  # fmt: skip


async def _open(shard: Shard, until: int, page: int) -> AsyncIterator[TaskView]:
    """Yield the open tasks of a shard that were asked before a time (ms), read so many at a time."""
    start, rows = 0, [(b"", 0)] * page
    while len(rows) == page:
        rows = await shard.queries.dated(shard.keys.tasks, start, page)
        start += len(rows)
        places = [_place(member) for member, asked in rows if asked <= until]
        for task in await _views(shard, places) if places else ():
            yield task
        if len(places) < len(rows):
            return


def _place(member: bytes) -> tuple[str, int]:
    flow, _, step = member.decode().split("/")
    return flow, int(step)


async def _views(shard: Shard, places: list[tuple[str, int]]) -> Iterable[TaskView]:
    keys = [shard.keys.flow(flow) for flow, _ in places]
    hashes = await shard.queries.hashes(keys, [task_fields(step) for _, step in places])
    found = []
    for (flow, step), fields in zip(places, hashes, strict=True):
        record = FlowRecord.read(flow, fields)
        if asked := asked_of(shard.keys, record, step):
            found.append(view(asked, record.facts.get("type", "")))
    return found


def _over(found: Found) -> TaskDetail:
    """Return a task that is over, from what is on record."""
    record, result = found.record, found.result
    facts = {name: value for name, value in record.facts.items() if name != "ended"}
    task = Task.read(record.tasks[found.step])
    before = {found.step: task._replace(dropped=0).packed()}
    asked = asked_of(
        found.shard.keys, FlowRecord(record.id, facts, steps=record.steps, tasks=before), found.step
    )
    assert asked, "it was open before"
    how, by, at = over(result)
    choice, note, data = unpack(result.data) if result and result.kind == ANSWERED else ("", "", None)
    return TaskDetail(
        view(asked, facts.get("type", "")), how, by=by, at=at or task.dropped,
        choice=choice, note=note, data=data,
    )  # fmt: skip
