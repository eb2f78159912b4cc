"""The proof of test_lives.py can fail: each mutant of the code breaks a law in its schedule, which the code
as it is passes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hybrid.broker.outputs import wake_up
from hybrid.mediator import ending, steering
from hybrid.mediator.record import Deed, FlowRecord
from hybrid.mediator.steering import cancelling
from hybrid.runtime import fronting
from hybrid.runtime.records import Records
from hybrid.streams.transitions import Transition, add, still
from tests.mediator.agency import Agency
from tests.prove import trips
from tests.prove.trips import Part
from tests.runtime.world import until

BOOK = Part(id=1, kind="book", undo="before")
REFUSE = Part(id=9, kind="refuse")


class Mutant(NamedTuple):
    """A change of the code: the schedule in which it shows, and the words of the law that it breaks."""

    schedule: Callable[[Agency, pytest.MonkeyPatch], Awaitable[None]]
    change: Callable[[pytest.MonkeyPatch], None]
    broken: str


@pytest.fixture
def agency(fresh: str, url: str, tmp_path: Path) -> Iterator[Agency]:
    logging.getLogger("hybrid").setLevel(logging.CRITICAL)
    yield Agency(fresh, url, tmp_path)
    logging.getLogger("hybrid").setLevel(logging.NOTSET)


async def state_of(agency: Agency, flow: str, state: str) -> bool:
    record = await agency.record(flow)
    return record.begun and record.state == state


async def cancelled_by_one_who_looked_long_ago(agency: Agency, patch: pytest.MonkeyPatch) -> None:
    waits = Part(id=1, kind="signal")
    await agency.book([waits, Part(id=2, kind="book", undo="after"), waits.model_copy(update={"id": 3})])
    await agency.healer.rest()
    seen = await agency.record("t0")
    await agency.client.signal("t0", "go")
    await agency.healer.rest()
    shard = agency.store.shards[0]
    deed = Deed("ann", "no", await shard.queries.now())
    await shard.settler.settle(cancelling(shard.keys, seen, deed))


async def cancelled_while_a_booking_is_tried_again(agency: Agency, patch: pytest.MonkeyPatch) -> None:
    trips.break_down(agency.settings.directory, "book", 1)
    await agency.book([BOOK])
    await until(lambda: state_of(agency, "t0", "running"))
    await agency.cancel("t0", now=False)
    agency.calm()


async def cancelled_while_it_waits(agency: Agency, patch: pytest.MonkeyPatch) -> None:
    await agency.book([Part(id=1, kind="ask", limited=True)])
    await agency.healer.rest()
    await agency.cancel("t0", now=False)


async def refused(agency: Agency, patch: pytest.MonkeyPatch) -> None:
    await agency.book([BOOK, REFUSE])


async def refused_twice_over(agency: Agency, patch: pytest.MonkeyPatch) -> None:
    await agency.book([BOOK, Part(id=2, kind="book", undo="after"), REFUSE])


async def resumed_while_a_mediator_pauses(agency: Agency, patch: pytest.MonkeyPatch) -> None:
    rules = Records.rules

    async def read_then_lifted(records: Records) -> Any:
        found = await rules(records)
        await agency.steering().resume_all("type", "trip-booked")
        return found

    patch.setattr(Records, "rules", read_then_lifted)
    await agency.steering().pause_all("type", "trip-booked")
    await agency.book([BOOK])


async def waits_for_its_child(agency: Agency, patch: pytest.MonkeyPatch) -> None:
    await agency.book([Part(id=1, kind="child", parts=[BOOK])])


async def woken_while_its_last_compensation_is_tried(agency: Agency, patch: pytest.MonkeyPatch) -> None:
    trips.break_down(agency.settings.directory, "unbook", 1)
    await agency.book([BOOK, REFUSE])
    await until(lambda: state_of(agency, "t0", "undoing"))
    await agency.healer.rest()
    shard = agency.store.shards[0]
    await shard.settler.settle(Transition((), (), [add(*wake_up(shard.keys, "hard", "t0"))]))


async def killed_while_it_books(agency: Agency, patch: pytest.MonkeyPatch) -> None:
    await agency.book([Part(id=1, kind="map", many=60)])
    await until(lambda: state_of(agency, "t0", "running"))
    await agency.kill(0)
    await agency.kill(0)


def without_version(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steering, "_seen", lambda keys, record: still(keys.flow(record.id), "no-such", b""))


def without_what_is_under_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ending, "_under_way", lambda record: [])


def without_dropping(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ending, "dropped", lambda place, record, first=1: [])


def undoing_again(patch: pytest.MonkeyPatch) -> None:
    undone, seen = ending._undone, set[str]()

    def twice(place: Any, record: FlowRecord, *rest: Any) -> Any:
        effects = undone(place, record, *rest)
        first = record.id not in seen
        seen.add(record.id)
        return effects[:-1] if first else effects

    patch.setattr(ending, "_undone", twice)


def undoing_in_the_order_of_registration(patch: pytest.MonkeyPatch) -> None:
    def first(found: Any, **rest: Any) -> int:
        return max(found, **rest) if rest else min(found)

    patch.setattr(ending, "max", first, raising=False)


def without_looking_whether_the_rule_stands(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steering, "still", lambda hash, field, value: still(hash, "no-such", b""))


def without_telling_the_parent(patch: pytest.MonkeyPatch) -> None:
    for module in (ending, fronting):
        patch.setattr(module, "child_over", lambda keys, child, value: [])


def without_the_last_compensation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FlowRecord, "undoing", property(lambda record: set()))


def without_an_index_for_tasks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ending, "withdrawn", lambda asked, now: [])


MUTANTS = [
    Mutant(cancelled_by_one_who_looked_long_ago, without_version, "undone was"),
    Mutant(cancelled_while_a_booking_is_tried_again, without_what_is_under_way, "before what was under way"),
    Mutant(cancelled_while_it_waits, without_dropping, "waits:complex|waits:hard"),
    Mutant(cancelled_while_it_waits, without_an_index_for_tasks, "tasks has"),
    Mutant(refused, undoing_again, "undone was"),
    Mutant(refused_twice_over, undoing_in_the_order_of_registration, "undone was"),
    Mutant(resumed_while_a_mediator_pauses, without_looking_whether_the_rule_stands, "are not paused"),
    Mutant(waits_for_its_child, without_telling_the_parent, "nothing moves"),
    Mutant(woken_while_its_last_compensation_is_tried, without_the_last_compensation, "undone was|nobody"),
]  # fmt: skip
SCHEDULES = dict.fromkeys(mutant.schedule for mutant in MUTANTS)


async def play(agency: Agency, schedule: Any, patch: pytest.MonkeyPatch) -> None:
    await agency.open()
    try:
        await schedule(agency, patch)
        await agency.end()
    finally:
        await agency.close()


@pytest.mark.parametrize("schedule", [*SCHEDULES, killed_while_it_books], ids=lambda s: s.__name__)
async def test_the_code_as_it_is_passes(agency, schedule, monkeypatch):
    await play(agency, schedule, monkeypatch)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.change.__name__)
async def test_a_mutant_is_caught(agency, mutant, monkeypatch):
    mutant.change(monkeypatch)
    with pytest.raises(AssertionError, match=mutant.broken):
        await play(agency, mutant.schedule, monkeypatch)
