"""Recurring events: schedules, which send one event at each tick.

A schedule is a record in the hash `schedules`, and the member of its next tick in the zset `scheduled`: a
zero byte, NAME/EDITION/TICK. Whoever settles the claim `fire` of that member sends the event of the tick and
puts the next one in its place, in one settle; so each tick is sent once, whoever looks. The edition is new
each time that a schedule is written, so that nothing that was read before can be settled after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

import msgpack

from hybrid.broker.outputs import entered
from hybrid.cron import Cron
from hybrid.envelope import first_fields
from hybrid.errors import ScheduleError
from hybrid.ids import GRAMMAR
from hybrid.keys import Keys
from hybrid.streams.transitions import Item, Transition, add, cancel, fire, hdel, hset, still, zadd

ONCE, ALL, SKIP = "once", "all", "skip"
POLICIES = (ONCE, ALL, SKIP)
"""What becomes of ticks that were missed: one event for all of them, one for each, none."""
LATE = 5_000
"""A tick that is so late (ms) was missed: nobody was there to send it."""
MOST = 100
"""So many ticks are sent in one settle."""
LONGEST = 60
"""Letters of a schedule's name: the ids of its events begin with it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """When a schedule ticks, and what becomes of missed ticks. Raises ScheduleError for what can't be."""

    cron: str
    zone: str = "UTC"
    missed: str = ONCE

    def __post_init__(self) -> None:
        if self.missed not in POLICIES:
            raise ScheduleError(f"missed ticks: {self.missed!r} is none of {', '.join(POLICIES)}")
        self.ticks()

    def ticks(self) -> Cron:
        """Return when it ticks."""
        return Cron(self.cron, self.zone)

    def due(self, tick: int, now: int) -> tuple[Sequence[int], int]:
        """Return the ticks of which events are sent now, and the next one; `tick` is the first that was not
        sent.
        """
        ticks = self.ticks()
        if now - tick > LATE and self.missed == ONCE:
            return [max(tick, ticks.latest(now))], ticks.after(now)
        if now - tick > LATE and self.missed == SKIP:
            tick = ticks.after(now - LATE - 1)
        sent: list[int] = []
        while tick <= now and len(sent) < MOST:
            sent.append(tick)
            tick = ticks.after(tick)
        return sent, tick


@dataclass(frozen=True, slots=True)
class Recurring:
    """A schedule: the event that it sends, whole, by which channel, and when (`tick` is the next, in ms)."""

    name: str
    plan: Plan
    channel: str
    type: str
    version: int
    key: str
    data: bytes = field(repr=False)
    edition: str
    tick: int

    @property
    def member(self) -> bytes:
        """Its next tick among what is scheduled."""
        return f"\0{self.name}/{self.edition}/{self.tick}".encode()

    @classmethod
    def read(cls, name: str, packed: bytes) -> Recurring:
        """Return a schedule as its record has it."""
        facts = msgpack.unpackb(packed)
        return cls(name, Plan(**facts.pop("plan")), **facts)

    def packed(self) -> bytes:
        """Return its record."""
        facts = asdict(self)
        del facts["name"]
        return msgpack.packb(facts)  # type: ignore[no-any-return]

    def event(self, keys: Keys, id: str) -> Item:
        """Return the effect that sends its event."""
        fields = first_fields(id, self.type, self.version, self.key, self.data)
        return add(keys.stream(self.channel), entered(self.channel), fields)

    def standing(self, keys: Keys) -> list[Item]:
        """Return the effects that write its record and its next tick."""
        record = hset(keys.schedules, [self.name, self.packed()])
        return [record, zadd(keys.scheduled, self.tick, self.member)]


class Standing(NamedTuple):
    """A schedule as it stands in the store, with its record as it was read."""

    schedule: Recurring
    record: bytes


def is_tick(member: bytes) -> bool:
    """Tell whether a member of `scheduled` is the tick of a schedule, not a message."""
    return member.startswith(b"\0")


def schedule_of(member: bytes) -> str:
    """Return the name of the schedule that a tick is of."""
    return member[1:].partition(b"/")[0].decode()


def checked_name(name: str) -> str:
    """Return the name of a schedule when it can be one; raise ScheduleError when not."""
    if not GRAMMAR.fullmatch(name) or len(name) > LONGEST:
        raise ScheduleError(
            f"{name[:LONGEST]!r}: a schedule's name takes 1 to {LONGEST} letters, digits, and . _ : -"
            " (the first a letter or digit)"
        )
    return name


def tick_id(name: str, tick: int) -> str:
    """Return the id of the event of a tick, always the same: NAME:20261201T080000Z."""
    return f"{name}:{datetime.fromtimestamp(tick / 1000, UTC):%Y%m%dT%H%M%SZ}"


def ticked(keys: Keys, schedule: Recurring, now: int) -> Transition:
    """Return the transition that sends what is due of a schedule, and puts its next tick in place."""
    ticks, following = schedule.plan.due(schedule.tick, now)
    events = [schedule.event(keys, tick_id(schedule.name, tick)) for tick in ticks]
    after = replace(schedule, tick=following)
    return Transition((), [fire(keys.scheduled, schedule.member)], [*events, *after.standing(keys)])


def written(keys: Keys, schedule: Recurring, before: Standing | None) -> Transition:
    """Return the transition that writes a schedule, in the place of the one before if there is one."""
    gone = [cancel(keys.scheduled, before.schedule.member)] if before else []
    record = before.record if before else b""
    return Transition([still(keys.schedules, schedule.name, record)], (), [*gone, *schedule.standing(keys)])


def struck_off(keys: Keys, before: Standing) -> Transition:
    """Return the transition that removes a schedule, with its next tick."""
    name, member = before.schedule.name, before.schedule.member
    effects = [hdel(keys.schedules, name), cancel(keys.scheduled, member)]
    return Transition([still(keys.schedules, name, before.record)], (), effects)
