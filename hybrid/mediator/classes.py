"""The classes of initiating events: simple, hard, complex (mission: which mediator suits depends on the
event).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class EventClass(StrEnum):
    """How an initiating event is carried out."""

    SIMPLE = "simple"
    HARD = "hard"
    COMPLEX = "complex"

    def because(self, reason: str) -> Verdict:
        """Return this class with the reason for it, for a rule to return."""
        return Verdict(self, reason)


class Verdict(NamedTuple):
    """A class and the reason for it."""

    event_class: EventClass
    reason: str = ""


SIMPLE, HARD, COMPLEX = EventClass.SIMPLE, EventClass.HARD, EventClass.COMPLEX
