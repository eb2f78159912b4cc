"""What happens after a repair function has run: `decide` is pure and returns a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hybrid.broker.failures import error_note
from hybrid.messages import Message
from hybrid.policy import Raised
from hybrid.workflow import Discard


@dataclass(frozen=True, slots=True)
class Answered:
    """Outcome: the function returned this."""

    answer: Any


Outcome = Answered | Raised


@dataclass(frozen=True, slots=True)
class Mended:
    """Decision: this message goes back in place of the one that failed."""

    message: Message


@dataclass(frozen=True, slots=True)
class ToDesk:
    """Decision: a person looks at it; the note says why."""

    note: str
    awaited: bool = True
    """Whether its flow still waits for it, and is told."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Decision: it shall not be tried again."""

    reason: str


Decision = Mended | ToDesk | GivenUp


def decide(outcome: Outcome, fixer: str, original: str, late: bool) -> Decision:
    """Return what becomes of a failure of a message of this type; `late` when nobody waits for it now."""
    if isinstance(outcome, Raised):
        return ToDesk(f"{fixer}: {error_note(outcome.error)}")
    match outcome.answer:
        case None:
            return ToDesk(f"{fixer} can't tell what is wrong with it")
        case Discard(reason):
            return GivenUp(reason)
        case answer if answer.type_name != original:
            return ToDesk(
                f"{fixer} mended it to a {answer.type_name}: a message stays what it is, {original}"
            )
        case answer if late:
            note = f"{fixer} mended it, but its time is over: nobody waits for it any more"
            return ToDesk(note, awaited=False)
        case answer:
            return Mended(answer)
