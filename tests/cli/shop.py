"""A small application in which everything can go wrong. It runs as a file: `hybrid run --app shop.py`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel, Field

from hybrid import (
    HARD,
    Command,
    Event,
    Flow,
    Mediator,
    Processor,
    Refused,
    RetryPolicy,
    Secret,
    SimpleMediator,
)


class Go(Event, key="n"):
    n: int
    note: str = ""
    token: Secret[str] | None = None
    tags: dict[str, list[int]] = Field(default_factory=dict)
    amount: int | None = None


class Ping(Event, key="n"):
    n: int


class Touch(Command):
    n: int


class Work(Command):
    n: int
    token: Secret[str] | None = None


class Worked(Event):
    n: int


class Lost(Command):
    n: int


class Form(BaseModel):
    n: int = Field(gt=0, description="so many")
    tags: list[str] = []


class Ended(Event):
    n: int


class No(Event):
    n: int


front = SimpleMediator("front")
boss = Mediator("boss", handles=HARD)
worker = Processor("worker")
listener = Processor("listener")


@front.classify(Go, HARD)
def by_habit(event: Go):
    return HARD.because("it always was")


@front.on(Ping)
def ping(event: Ping):
    return [Touch(n=event.n)]


@boss.flow(Go)
async def go(event: Go, flow: Flow) -> Ended:
    if event.note == "broken":
        raise ZeroDivisionError("the flow is broken")
    if event.note == "refused":
        raise Refused(No(n=event.n))
    if event.note == "sleeps":
        await flow.sleep(600)
    if event.note == "asks":
        nap = flow.sleep(0.01)
        said = await flow.signal("answer")
        await nap
        return Ended(n=said["n"] if said else 0)
    if event.note == "approval":
        said = await flow.ask("Go?\u00e9", choices=["yes", "no"], for_="boss", about={"n": event.n})
        return Ended(n=1 if said.choice == "yes" else 0)
    if event.note == "form":
        return Ended(n=(await flow.ask("How many?", schema=Form, timeout=600)).data.n)
    if event.note == "lost":
        await flow.do(Lost(n=event.n))
    if event.note == "slow":
        await flow.do(Work(n=-1, token=event.token))
    await flow.do(Work(n=event.n, token=event.token))
    return Ended(n=event.n)


@worker.on(Work, retry=RetryPolicy(attempts=2, first_ms=20))
async def work(command: Work) -> Worked:
    if command.n < 0:
        await asyncio.sleep(60)
    if command.n == 13 and not Path("mended").exists():
        raise ValueError("thirteen \x1b[31mis red")
    return Worked(n=command.n)


@worker.on(Touch)
async def touch(command: Touch) -> None:
    pass


@listener.on(Worked)
async def listen(event: Worked) -> None:
    pass
