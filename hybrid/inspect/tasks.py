"""People's tasks as they are shown: the list of the open ones, and one whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel

from hybrid.broker.shard import Shard, Store
from hybrid.codec import unpack
from hybrid.errors import ApplicationError
from hybrid.inspect.forms import form_of
from hybrid.inspect.people import Found, over
from hybrid.inspect.people import found as found_by
from hybrid.mediator.record import ANSWERED, FlowRecord, Issued
from hybrid.mediator.task_changes import asked_of
from hybrid.mediator.tasks import Task, task_id
from hybrid.topology import Topology

PAGE = 1_000
OPEN = "open"
ANYONE = "anyone"
"""For whom a task is that is for nobody in particular."""
NEVER = 1 << 53


class Place(NamedTuple):
    """Where a task stands: which step of which flow it is."""

    flow: str
    step: int


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
        page = PAGE if for_ or type or not most else min(most, PAGE)
        async for task in _open(shard, until, page, (for_, type)):
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
    return TaskDetail(_found(found), OPEN, form.model_json_schema(by_alias=False) if form else None)


def asks(record: FlowRecord, step: int) -> str:
    """Return whom a step of a flow asks, and who has claimed the task; "" when it is no task."""
    if step not in record.tasks:
        return ""
    task = Task.read(record.tasks[step])
    return (task.for_ or ANYONE) + (f", claimed by {task.claimed_by}" if task.claimed_by else "")


async def to_answer(store: Store, topology: Topology, id: str) -> tuple[TaskView, type[BaseModel] | None]:
    """Return a task that is open, and the form to answer it with (None when it has none). Raises UnknownTask,
    TaskOver, and ApplicationError when the application here does not have the form.
    """
    found = await found_by(store, id)
    asked = found.asked()
    return _found(found), form_of(topology, found.record, asked)


def _view(place: Place, issued: Issued, task: Task, type: str) -> TaskView:
    due = issued.sent + issued.timeout if issued.timeout else 0
    after, to = task.escalate or (0, "")
    return TaskView(
        task_id(*place), place.flow, place.step, type, issued.name, task.for_, tuple(task.choices),
        task.schema, dict(task.about), issued.sent, due, task.claimed_by, task.claimed, task.reminded,
        issued.sent + after if after else 0, to,
    )  # fmt: skip


async def _open(shard: Shard, until: int, page: int, wanted: tuple[str, str]) -> AsyncIterator[TaskView]:
    """Yield the open tasks of a shard that were asked before a time (ms), read so many at a time: those for
    somebody, of an event type.
    """
    start, rows = 0, [(b"", 0)] * page
    while len(rows) == page:
        rows = await shard.queries.dated(shard.keys.tasks, start, page)
        start += len(rows)
        places = [_place(member) for member, asked in rows if asked <= until]
        for task in await _views(shard, places, wanted) if places else ():
            yield task
        if len(places) < len(rows):
            return


def _place(member: bytes) -> Place:
    flow, _, step = member.decode().split("/")
    return Place(flow, int(step))


async def _views(shard: Shard, places: list[Place], wanted: tuple[str, str]) -> Iterable[TaskView]:
    """Return the tasks in these places. Of each record three fields are read: there may be many."""
    keys = [shard.keys.flow(place.flow) for place in places]
    fields = [["type", f"step:{place.step}", f"task:{place.step}"] for place in places]
    found, (for_, of_type) = [], wanted
    for place, names, values in zip(places, fields, await shard.queries.hashes(keys, fields), strict=True):
        type, issued, task = (values.get(name.encode()) for name in names)
        if not (type and issued and task) or of_type not in ("", type.decode()):
            continue
        read = Task.read(task)
        if for_ in ("", read.for_):
            found.append(_view(place, Issued(*unpack(issued)), read, type.decode()))
    return found


def _over(found: Found) -> TaskDetail:
    """Return a task that is over, from what is on record."""
    result = found.result
    how, by, at = over(result)
    choice, note, data = unpack(result.data) if result and result.kind == ANSWERED else ("", "", None)
    at = at or Task.read(found.record.tasks[found.step]).dropped
    return TaskDetail(_found(found), how, by=by, at=at, choice=choice, note=note, data=data)


def _found(found: Found) -> TaskView:
    record, place = found.record, Place(found.record.id, found.step)
    task = Task.read(record.tasks[found.step])
    return _view(place, record.steps[found.step], task, record.facts.get("type", ""))
