"""Cron expressions: when they tick, in which zone, and which are none."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from hybrid.cron import Cron
from hybrid.errors import ScheduleError


def ms(*when, zone=UTC, fold=0):
    return int(datetime(*when, tzinfo=zone, fold=fold).timestamp() * 1000)


@pytest.mark.parametrize(
    ("expression", "zone", "moment", "tick"),
    [
        ("*/10 * * * *", "UTC", ms(2026, 12, 1, 8, 3, 7), ms(2026, 12, 1, 8, 10)),
        ("*/10 * * * *", "UTC", ms(2026, 12, 1, 8, 10), ms(2026, 12, 1, 8, 20)),
        ("*/10 * * * *", "UTC", ms(2026, 12, 1, 8, 10) - 1, ms(2026, 12, 1, 8, 10)),
        ("*/30 * * * * *", "UTC", ms(2026, 12, 1, 8, 10, 1), ms(2026, 12, 1, 8, 10, 30)),
        ("0 8 * * MON-FRI", "Europe/Prague", ms(2026, 11, 28, 12), ms(2026, 11, 30, 7)),
        ("0 8 * * MON-FRI", "Europe/Prague", ms(2026, 7, 3, 12), ms(2026, 7, 6, 6)),
        ("0 0 29 2 *", "UTC", ms(2026, 1, 1), ms(2028, 2, 29)),
    ],
)
def test_the_next_tick(expression, zone, moment, tick):
    assert Cron(expression, zone).after(moment) == tick


@pytest.mark.parametrize(
    ("expression", "moment", "tick"),
    [
        ("*/10 * * * *", ms(2026, 12, 1, 8, 13), ms(2026, 12, 1, 8, 10)),
        ("*/10 * * * *", ms(2026, 12, 1, 8, 10), ms(2026, 12, 1, 8, 10)),
        ("*/10 * * * *", ms(2026, 12, 1, 8, 10) - 1, ms(2026, 12, 1, 8)),
        ("* * * * * *", ms(2026, 12, 1, 8, 10) + 999, ms(2026, 12, 1, 8, 10)),
    ],
)
def test_the_last_tick(expression, moment, tick):
    assert Cron(expression).latest(moment) == tick


def test_when_clocks_go_forward_what_is_left_out_ticks_right_after():
    prague = ZoneInfo("Europe/Prague")
    ticks = Cron("30 2 * * *", "Europe/Prague")
    first = ticks.after(ms(2026, 3, 28, 12, zone=prague))
    assert first == ms(2026, 3, 29, 3, zone=prague)
    assert ticks.after(first) == ms(2026, 3, 30, 2, 30, zone=prague)


def test_when_clocks_go_back_it_ticks_once():
    prague = ZoneInfo("Europe/Prague")
    ticks = Cron("30 2 * * *", "Europe/Prague")
    first = ticks.after(ms(2026, 10, 24, 12, zone=prague))
    assert first == ms(2026, 10, 25, 2, 30, zone=prague)
    for moment in (first, ms(2026, 10, 25, 2, 10, zone=prague, fold=1)):
        assert ticks.after(moment) == ms(2026, 10, 26, 2, 30, zone=prague)


@pytest.mark.parametrize("text", ["", "* * * *", "61 * * * *", "x", "* * * * * * *", "@daily", "*/0 * * * *"])
def test_what_is_no_expression(text):
    with pytest.raises(ScheduleError, match="is no cron expression, as"):
        Cron(text)


def test_a_day_that_never_comes():
    with pytest.raises(ScheduleError):
        Cron("0 0 30 2 *")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "/etc/passwd", "../UTC", "", "x" * 5000])
def test_unknown_time_zones(zone):
    with pytest.raises(ScheduleError, match="no time zone is called"):
        Cron("* * * * *", zone)
