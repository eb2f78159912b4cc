"""Answers: what people say to a task, checked before it is on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from hybrid.codec import pack, unpack
from hybrid.errors import InvalidMessage
from hybrid.mediator.tasks import LONGEST_NAME, MOST_BYTES, Task, checked_words
from hybrid.messages import problems

M = TypeVar("M")
LONGEST_NOTE = 1_000
"""In characters."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[M]):
    """What somebody answered: the choice ("" when there was none to make), the form (None when there was
    none), who it was, and what they noted.
    """

    choice: str = ""
    data: M | None = None
    by: str = ""
    note: str = ""


def packed_answer(task: Task, model: type[BaseModel] | None, answer: Answer[Any], id: str) -> bytes:
    """Return an answer as it goes on record. Raises InvalidMessage for one that the task does not take: then
    nothing is written, and no flow ever reads what it can't.
    """
    checked_words("by", answer.by, LONGEST_NAME)
    wrong: list[tuple[str, str]] = []
    if len(answer.note) > LONGEST_NOTE:
        wrong.append(("note", f"has {len(answer.note):,} characters, the most are {LONGEST_NOTE:,}"))
    elif not _is_text(answer.note):
        wrong.append(("note", "has characters that are none"))
    if task.choices and answer.choice not in task.choices:
        given = f", not {answer.choice[:LONGEST_NAME]!r}" if answer.choice else ""
        wrong.append(("choice", f"is one of {', '.join(task.choices)}{given}"))
    if answer.choice and not task.choices:
        wrong.append(("choice", "there is none to make"))
    if answer.data is not None and model is None:
        wrong.append(("data", "the task has no form"))
    if wrong:
        raise InvalidMessage(f"the answer to {id}", wrong)
    data = filled_in(model, answer.data, id) if model else None
    return pack([answer.choice, answer.note, data])


def read_answer(model: type[BaseModel] | None, by: str, packed: bytes) -> Answer[Any]:
    """Return the answer that stands on record."""
    choice, note, data = unpack(packed)
    made = None if model is None else model.model_validate(data, strict=False, by_name=True, extra="ignore")
    return Answer(choice, made, by, note)


def filled_in(model: type[BaseModel], data: object, id: str) -> dict[str, Any]:
    """Return the fields of a form, checked: what is recorded is read again as the model, too. Raises
    InvalidMessage, with every field that is wrong and its rule.
    """
    if not isinstance(data, dict | BaseModel):
        raise InvalidMessage(f"the answer to {id}", [("data", "is an object with the form's fields")])
    try:
        given = dict(data) if isinstance(data, BaseModel) else data
        made = model.model_validate(given, extra="forbid", by_name=True)
        packed = pack(made.__dict__)
        model.model_validate(unpack(packed), strict=False, by_name=True, extra="ignore")
    except ValidationError as error:
        raise InvalidMessage(f"the answer to {id}", problems(error, model)) from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidMessage(f"the answer to {id}", [("data", f"can't be recorded: {error}")]) from error
    if len(packed) > MOST_BYTES:
        what = f"has {len(packed):,} bytes, the most are {MOST_BYTES:,}"
        raise InvalidMessage(f"the answer to {id}", [("data", what)])
    return made.__dict__


def _is_text(text: str) -> bool:
    """Tell whether a text has no halves of characters, which can't be stored."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
