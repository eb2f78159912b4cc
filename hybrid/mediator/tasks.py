"""People's tasks: what a flow asks people.

Everything of a task that may change (for whom it is, who has claimed it, how often was reminded) stands in
one field of the flow's record, task:N. Whatever happens to a task compares that field with what it has read,
and changes it, in one settle: of two at once one is first, and the other reads again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict, get_args

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from hybrid.codec import pack, unpack
from hybrid.errors import ApplicationError
from hybrid.messages import hides

LONGEST_QUESTION, LONGEST_NAME, LONGEST_WHY, MOST_CHOICES = 500, 60, 1_000, 50
"""In characters, and how many."""
MOST_BYTES = 64 << 10
"""How large the facts of a task may be together, and the form of an answer; packed."""
LONGEST = 10 * 366 * 86_400
"""Seconds: as good as for ever."""
LEAST_REMIND = 100
"""Ms: whoever is reminded more often can't read it."""
CLOSE, REMIND, ESCALATE = "close", "remind", "escalate"
"""What a timer of a task does when it fires: see `timeout_member`."""


class Asking(TypedDict, total=False):
    """How a flow asks: see `Flow.ask`."""

    choices: Sequence[str]
    schema: type[BaseModel]
    for_: str
    timeout: timedelta | float | None
    remind: timedelta | float | None
    escalate: tuple[timedelta | float, str] | None
    about: Mapping[str, Any]


class Task(NamedTuple):
    """A task on record, as it is now. Times in ms, 0 for none. `schema` is the name of the form's model;
    `escalate` is after what time it goes to whom.
    """

    for_: str = ""
    choices: Sequence[str] = ()
    schema: str = ""
    about: Mapping[str, Any] = {}
    remind: int = 0
    escalate: Sequence[Any] = ()
    claimed_by: str = ""
    claimed: int = 0
    reminded: int = 0
    dropped: int = 0
    """When the flow did not wait for it any more."""

    @property
    def essence(self) -> bytes:
        """What is asked, packed: a re-run of the flow must ask the same."""
        return pack(self[:4])

    def packed(self) -> bytes:
        """Return it as it stands on record: what is not said is left out at the end."""
        known = len(self)
        while known > 1 and not self[known - 1]:
            known -= 1
        return pack(self[:known])

    @classmethod
    def read(cls, packed: bytes) -> Task:
        """Return the task that a field of a record is."""
        return cls(*unpack(packed))


@dataclass(frozen=True, slots=True)
class Question:
    """A question as a flow puts it, checked. Raises ApplicationError for one that can't be put to people."""

    text: str
    choices: Sequence[str] = ()
    schema: type[BaseModel] | None = None
    for_: str = ""
    timeout: timedelta | float | None = None
    remind: timedelta | float | None = None
    escalate: tuple[timedelta | float, str] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_words("a question", self.text, LONGEST_QUESTION)
        if self.choices and self.schema:
            raise ApplicationError("flow.ask takes choices or a schema, not both")
        if self.for_ != "":
            checked_words("for_", self.for_, LONGEST_NAME)
        _check_choices(self.choices)
        if self.schema is not None:
            _check_schema(self.schema)

    @property
    def times_out(self) -> int:
        """After what time (ms) nobody is asked any more; 0 for never."""
        return _ms("timeout", self.timeout)

    def task(self, most_bytes: int = MOST_BYTES) -> Task:
        """Return the task that goes on record."""
        timeout, remind = self.times_out, _ms("remind", self.remind)
        if self.remind is not None and remind < LEAST_REMIND:
            raise ApplicationError(f"flow.ask: remind is {LEAST_REMIND} ms at least, not {remind} ms")
        escalate: Sequence[Any] = ()
        if self.escalate is not None:
            escalate = _escalation(self.escalate, timeout)
        schema = self.schema.__name__ if self.schema else ""
        return Task(
            self.for_,
            list(self.choices),
            schema,
            _facts(self.about, min(most_bytes, MOST_BYTES)),
            remind,
            escalate,
        )


def checked_words(what: str, text: object, longest: int) -> str:
    """Return a text for people: one line, so many characters at most. Raises ApplicationError."""
    if not isinstance(text, str):
        raise ApplicationError(f"{what} is text, no {type(text).__name__}")
    if not text.strip():
        raise ApplicationError(f"{what} is empty")
    if len(text) > longest:
        raise ApplicationError(
            f"{what} has {len(text):,} characters, the most are {longest:,}: {text[:40]!r}…"
        )
    if not text.isprintable():
        bad = next(c for c in text if not c.isprintable())
        raise ApplicationError(f"{what} has the character {bad!r}: it is one line of text that can be shown")
    return text


def task_id(flow: str, step: int) -> str:
    """Return a task's id for people."""
    return f"{flow}/{step}"


def indexed(flow: str, run: int, step: int) -> str:
    """Return how an open task stands in the index of its shard."""
    return f"{flow}/{run}/{step}"


def _check_choices(choices: Sequence[str]) -> None:
    if isinstance(choices, str) or not isinstance(choices, Sequence):
        raise ApplicationError(f"flow.ask: choices is a list of words, not {choices!r}"[:200])
    if len(choices) > MOST_CHOICES:
        raise ApplicationError(f"flow.ask: {len(choices)} choices, the most are {MOST_CHOICES}")
    for choice in choices:
        if checked_words("a choice", choice, LONGEST_NAME).strip() != choice:
            raise ApplicationError(f"flow.ask: the choice {choice!r} begins or ends with a space")
    if len(set(choices)) < len(choices):
        raise ApplicationError(f"flow.ask: a choice stands twice among {', '.join(choices)}")


def _check_schema(schema: object) -> None:
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        raise ApplicationError(f"flow.ask: a schema is a pydantic model's class, not {schema!r}"[:200])
    checked_words("the schema's name", schema.__name__, LONGEST_NAME)
    if secret := _secret(schema, set()):
        raise ApplicationError(
            f"flow.ask: {secret} is a secret, and answers of people are shown: ask for something else"
        )


def _secret(model: type[BaseModel], seen: set[Any]) -> str:
    """Return a field in a form that hides what it holds, "" for none."""
    seen.add(model)
    for name, info in model.model_fields.items():
        if hides(info.annotation):
            return f"{model.__name__}.{name}"
        for inner in _models(info.annotation):
            if inner not in seen and (found := _secret(inner, seen)):
                return found
    return ""


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation names, as in dict[str, list[Line] | None]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _escalation(escalate: object, timeout: int) -> Sequence[Any]:
    if not (isinstance(escalate, tuple) and len(escalate) == 2):
        raise ApplicationError("flow.ask: escalate is a pair, as (days(2), 'director')")
    after, to = _ms("escalate", escalate[0]), checked_words("escalate", escalate[1], LONGEST_NAME)
    if after <= 0 or (timeout and after >= timeout):
        raise ApplicationError(
            f"flow.ask: escalate after {after / 1000:g} s: it is after some time, and before the timeout"
            f" ({timeout / 1000:g} s)"
        )
    return [after, to]


def _facts(about: object, most: int) -> Mapping[str, Any]:
    """Return facts, JSON-ready."""
    if not isinstance(about, Mapping):
        raise ApplicationError(f"flow.ask: about is a dict of facts, no {type(about).__name__}")
    try:
        facts = json.loads(json.dumps(dict(about), allow_nan=False, default=_fact))
        size = len(pack(facts))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ApplicationError(f"flow.ask: about is not JSON-ready: {error}") from None
    if size > most:
        raise ApplicationError(f"flow.ask: about has {size:,} bytes, the most are {most:,}")
    return facts  # type: ignore[no-any-return]


def _fact(value: object) -> Any:
    """Return a value that JSON has no word for as people read it; models as what they show (no secrets)."""
    if isinstance(value, set | frozenset):
        raise TypeError("a set has no order, and a re-run of the flow must ask the same")
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else to_jsonable_python(value)


def _ms(what: str, time: object) -> int:
    seconds = time.total_seconds() if isinstance(time, timedelta) else time or 0
    if not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST:
        raise ApplicationError(
            f"flow.ask: a {what} of {time!r} is not possible: it is a timedelta or seconds"
        )
    return int(seconds * 1000)
