"""What is broadcast of people's tasks, so that whoever should know hears of it: a mail to those who are asked
is a processor that listens. Every application has these events.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hybrid.messages import Event


class TaskEvent(Event, key="flow"):
    """What all of them say: which task it is, what is asked, of whom, and until when."""

    task: str
    """The task's id for people, FLOW/STEP."""
    flow: str
    step: int
    question: str
    for_: str
    """For whom it is now, "" for anyone."""
    about: dict[str, Any]
    """The facts that go with the question."""
    due: datetime | None
    """When nobody needs to answer any more; None for never."""


class TaskOpened(TaskEvent, key="flow"):
    """A flow asks people something. `choices` is empty when the answer is a form, or only a "done"."""

    choices: list[str]


class TaskReminded(TaskEvent, key="flow"):
    """Nobody has answered yet, for the so many-th time; `claimed_by` says who wants to, "" for nobody."""

    times: int
    claimed_by: str


class TaskEscalated(TaskEvent, key="flow"):
    """Nobody has answered in time: it is for somebody else now. `claimed_by` had wanted to, "" for nobody."""

    was_for: str
    claimed_by: str


class TaskReassigned(TaskEvent, key="flow"):
    """Somebody has given it to somebody else. `claimed_by` had wanted to answer, "" for nobody."""

    was_for: str
    claimed_by: str
    by: str
    why: str


class TaskClosed(TaskEvent, key="flow"):
    """Nobody is asked any more. `how`: answered, timed out, or dropped (the flow is over without it). Of an
    answer also by whom, the choice ("" for a form), and the note.
    """

    how: str
    by: str = ""
    choice: str = ""
    note: str = ""


TASK_EVENTS = (TaskOpened, TaskReminded, TaskEscalated, TaskReassigned, TaskClosed)
