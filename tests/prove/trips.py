"""A travel agency whose flows use everything a flow can do: each trip says part by part what its flow does.

What becomes of a trip hangs on its parts and on what is done to it; so it is known from them what must have
been done, and undone. Every handler leaves a row that names its flow, run and step.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, event, insert
from sqlalchemy.pool import NullPool

from hybrid import (
    COMPLEX,
    HARD,
    App,
    Command,
    Context,
    Event,
    Flow,
    Mediator,
    Processor,
    Refused,
    RetryPolicy,
    SimpleMediator,
    days,
    hours,
    resource,
)
from hybrid.errors import ChildFailed, CommandFailed, Promote, StepTimeout
from hybrid.inbox import Database, metadata
from hybrid.mediator.steps import Step
from hybrid.settings import Settings

Kind = Literal[
    "book", "all", "map", "sleep", "signal", "ask", "wait", "race", "child",
    "refuse", "anew", "promote",
]  # fmt: skip
AT_MOST = int(os.environ.get("PROVE_AT_MOST", "3"))
"""Bookings of a map that are under way at the same time."""
IMPATIENT = RetryPolicy(attempts=2, first_ms=10)


class Part(BaseModel):
    """A part of a trip: what its flow does there, how often (`many`), whether that has a time limit, whether
    an error of it is caught, when its undoing is registered, and what a child's parts are.
    """

    id: int
    kind: Kind
    many: int = 1
    limited: bool = False
    caught: bool = False
    undo: Literal["", "before", "after"] = ""
    parts: list[Part] = []

    @property
    def steps(self) -> int:
        """How many steps it has."""
        if self.kind in ("refuse", "anew", "promote"):
            return 0
        if self.kind in ("all", "map"):
            return self.many
        return 2 if self.kind in ("wait", "race") else 1


class TripBooked(Event, key="trip"):
    trip: str
    parts: list[Part]


class Book(Command):
    trip: str
    part: int
    n: int = 0


class Unbook(Command):
    trip: str
    part: int


class Booked(Event):
    trip: str
    part: int
    word: str = ""


class Confirmed(Event):
    trip: str
    part: int


class TripCancelled(Event):
    trip: str


class TripMade(Event):
    trip: str


class TripRefused(Event):
    trip: str


rows = MetaData()
done = Table(
    "done",
    rows,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("what", String, nullable=False),
    Column("flow", String, nullable=False),
    Column("run", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("part", Integer, nullable=False),
)
"""No unique columns: what is done twice shall be seen twice."""


class Bug:
    """Whether the flows' code has a mistake just now; in this process."""

    here = False


def open_engine(directory: Path) -> Engine:
    """Open the database of a directory."""
    engine = create_engine(
        f"sqlite:///{directory}/trips.db", connect_args={"timeout": 60}, poolclass=NullPool
    )

    @event.listens_for(engine, "connect")
    def _fast(connection, _):  # kill -9 of a process loses nothing of this; only a power cut would
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")

    return engine


def create_tables(directory: Path) -> Engine:
    """Make the database, once, before the workers come."""
    engine = open_engine(directory)
    metadata.create_all(engine)
    rows.create_all(engine)
    return engine


def break_down(directory: Path, what: str, chance: float) -> None:
    """Let a handler (`book`, `unbook`) fail from now on, with this chance; 0 mends it."""
    place = directory / f"broken-{what}"
    place.with_suffix(".new").write_text(str(chance))
    place.with_suffix(".new").rename(place)


@resource
def database(settings: Settings) -> Iterator[Database]:
    engine = open_engine(settings.directory)
    yield Database(engine)
    engine.dispose()


front = SimpleMediator("front")
hard, complex_ = Mediator("hard", handles=HARD), Mediator("complex", handles=COMPLEX)
booking, unbooking = Processor("booking"), Processor("unbooking")


@front.classify(TripBooked, HARD, COMPLEX)
def by_length(event: TripBooked):
    return COMPLEX if len(event.parts) > 4 else HARD


async def travel(event: TripBooked, flow: Flow) -> TripMade:
    """Go through the parts of a trip. Its first step is what it is cancelled on."""
    flow.cancel_on(TripCancelled, match={"trip": event.trip})
    if Bug.here:
        raise RuntimeError("a mistake")
    for position, part in enumerate(event.parts):
        undo = Unbook(trip=event.trip, part=part.id)
        if part.undo == "before":
            flow.undo(undo)
        if part.kind == "refuse":
            raise Refused(TripRefused(trip=event.trip))
        if part.kind == "promote" and flow.envelope.class_ == HARD:
            raise Promote(COMPLEX, "it is long")
        if part.kind == "anew":
            flow.continue_as_new(TripBooked(trip=event.trip, parts=event.parts[position + 1 :]))
        try:
            await go_through(event.trip, part, flow)
        except (StepTimeout, CommandFailed, ChildFailed):
            if not part.caught:
                raise
        if part.undo == "after":
            flow.undo(undo)
    return TripMade(trip=event.trip)


async def go_through(trip: str, part: Part, flow: Flow) -> None:
    """Do what a part of a trip is."""
    commands = [Book(trip=trip, part=part.id, n=n) for n in range(part.many)]
    limit = days(2) if part.limited else None
    if part.kind == "book":
        await flow.do(commands[0], timeout=limit, retry=IMPATIENT if part.many > 1 else None)
    elif part.kind == "all":
        await flow.all(*commands, timeout=limit)
    elif part.kind == "map":
        await flow.map(commands, at_most=AT_MOST, timeout=limit)
    elif part.kind == "wait":
        confirmed = flow.wait(Confirmed, match={"trip": trip, "part": part.id}, timeout=limit)
        await flow.do(commands[0])
        await confirmed
    elif part.kind == "race":
        await flow.race(flow.do(commands[0]), flow.sleep(hours(1)))
    elif step := waiting(trip, part, flow):
        await step


def waiting(trip: str, part: Part, flow: Flow) -> Step | None:
    """Return the one step of a part that sends no command."""
    limit = days(2) if part.limited else None
    if part.kind == "sleep":
        return flow.sleep(days(30 * part.many))
    if part.kind == "signal":
        return flow.signal("go", timeout=limit)
    if part.kind == "ask":
        remind, escalate = (hours(20), (hours(30), "director")) if part.limited else (None, None)
        asked = f"part {part.id}?"
        return flow.ask(
            asked, choices=("yes", "no"), for_="manager", timeout=limit, remind=remind, escalate=escalate
        )
    if part.kind == "child":
        return flow.child(TripBooked(trip=f"{trip}.{part.id}", parts=part.parts), timeout=limit)
    return None


for mediator in (hard, complex_):
    mediator.flow(TripBooked, hears=[Confirmed, TripCancelled])(travel)


def leave_row(context: Context, settings: Settings, what: str, part: int) -> None:
    """Write a row in the delivery's transaction. A broken handler fails before, or within."""
    broken = settings.directory / f"broken-{what}"
    fails = broken.exists() and random.random() < float(broken.read_text())
    within = random.random() < 0.5
    if fails and not within:
        raise RuntimeError(f"{what} is broken")
    envelope = context.envelope
    with context.transaction() as session:
        session.execute(
            insert(done).values(
                what=what, flow=envelope.flow, run=envelope.run, step=envelope.step, part=part
            )
        )
        if fails:
            raise RuntimeError(f"{what} is broken")


@booking.on(Book, concurrency=8, retry=RetryPolicy(attempts=3, first_ms=100))
def book(command: Book, context: Context, settings: Settings) -> Booked:
    leave_row(context, settings, "book", command.part)
    return Booked(trip=command.trip, part=command.part)


@unbooking.on(Unbook, concurrency=8, retry=RetryPolicy(attempts=2, first_ms=10))
def unbook(command: Unbook, context: Context, settings: Settings) -> None:
    leave_row(context, settings, "unbook", command.part)


COMPONENTS = [front, hard, complex_, booking, unbooking]


def application(settings: Settings) -> App:
    """Return the application with these settings."""
    return App("trips", COMPONENTS, resources=[database], settings=settings)


def some_parts(dice: random.Random, most: int, deep: bool = True) -> list[Part]:
    """Return the parts of a random trip."""
    kinds: Iterable[str] = ["book"] * 3 + ["all", "map", "sleep", "signal", "ask", "wait", "race"]
    kinds = [*kinds, *(["child", "child", "anew", "promote"] if deep else [])]
    parts = []
    for id in range(1, dice.randint(1, most) + 1):
        part = Part(
            id=id, kind=dice.choice(list(kinds)), many=dice.randint(1, 5), limited=dice.random() < 0.3
        )
        part.caught = part.kind != "map" and dice.random() < 0.5
        part.undo = dice.choice(["", "before", "after", "after"])
        part.parts = some_parts(dice, 2, deep=False) if part.kind == "child" else []
        parts.append(part)
    if dice.random() < 0.3:
        parts.append(Part(id=len(parts) + 1, kind="refuse"))
    return parts
