"""Schedules: which ticks are sent, of those that were missed too."""

import pytest

from hybrid.broker.recurring import LATE, MOST, Plan, Recurring, checked_name, is_tick, schedule_of, tick_id
from hybrid.errors import ScheduleError

NOW = 1_800_000_000_000  # a whole minute: 2027-01-15 08:00
MINUTE = 60_000


def due(missed, tick, now=NOW, cron="* * * * *"):
    return Plan(cron, missed=missed).due(tick, now)


@pytest.mark.parametrize("missed", ["once", "all", "skip"])
def test_a_tick_in_time_is_sent(missed):
    assert due(missed, NOW) == ([NOW], NOW + MINUTE)
    assert due(missed, NOW, NOW + LATE) == ([NOW], NOW + MINUTE)


def test_missed_ticks_by_policy():
    three = NOW - 3 * MINUTE
    assert due("once", three, NOW + 20_000) == ([NOW], NOW + MINUTE)
    assert due("all", three, NOW + 20_000) == ([three + n * MINUTE for n in range(4)], NOW + MINUTE)
    assert due("skip", three, NOW + 20_000) == ([], NOW + MINUTE)


def test_a_tick_in_time_is_sent_with_missed_ones_before_it():
    three = NOW - 3 * MINUTE
    assert due("once", three) == ([NOW], NOW + MINUTE)
    assert due("skip", three) == ([NOW], NOW + MINUTE)


def test_every_second_none_is_left_out_while_a_worker_is_a_little_late():
    ticks = [NOW - 2000, NOW - 1000, NOW]
    for missed in ("once", "all", "skip"):
        assert due(missed, NOW - 2000, cron="* * * * * *") == (ticks, NOW + 1000)


def test_many_missed_ticks_are_sent_by_and_by():
    ticks, following = due("all", NOW - 500 * MINUTE)
    assert len(ticks) == MOST
    assert following == NOW - 400 * MINUTE


def test_a_policy_that_is_none():
    with pytest.raises(ScheduleError, match="'maybe' is none of once, all, skip"):
        Plan("* * * * *", missed="maybe")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "\0", "x" * 61, "-x"])
def test_names_that_can_not_be(name):
    with pytest.raises(ScheduleError, match="a schedule's name takes"):
        checked_name(name)


def test_a_record_is_read_as_it_was_written():
    what = ("event:front", "ping", 2, "k", b"\xff\x00")
    schedule = Recurring("pulse", Plan("* * * * *", "Europe/Prague", "all"), *what, "edition", NOW)
    assert Recurring.read("pulse", schedule.packed()) == schedule
    assert is_tick(schedule.member)
    assert schedule_of(schedule.member) == "pulse"


def test_the_id_of_a_tick_is_told_by_its_time():
    assert tick_id("pulse", NOW) == "pulse:20270115T080000Z"
