"""An application in which every flow asks people, for worker processes that are killed."""

from __future__ import annotations

from hybrid import HARD, App, Event, Flow, Mediator, SimpleMediator, StepTimeout
from hybrid.settings import Settings

REMIND, ESCALATE, TIMEOUT = 0.5, 1.2, 6.0
"""Seconds."""


class Asked(Event, key="id"):
    """A flow is to ask."""

    id: str


class Settled(Event, key="id"):
    """It has an answer, or none."""

    id: str
    by: str


front, approvals = SimpleMediator("front"), Mediator("approvals", handles=HARD)


@front.classify(Asked, HARD)
def by_habit(event: Asked):
    return HARD


@approvals.flow(Asked)
async def ask(event: Asked, flow: Flow) -> Settled:
    try:
        answer = await flow.ask(
            "Go?",
            choices=["yes"],
            for_="manager",
            timeout=TIMEOUT,
            remind=REMIND,
            escalate=(ESCALATE, "director"),
        )
    except StepTimeout:
        return Settled(id=event.id, by="nobody")
    return Settled(id=event.id, by=answer.by)


def application(settings: Settings) -> App:
    """Return the application of a process."""
    return App("approvals", [front, approvals], settings=settings)
