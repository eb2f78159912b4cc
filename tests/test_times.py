"""Words for spans of time."""

from datetime import timedelta

from hybrid import days, hours, minutes, seconds


def test_they_are_timedeltas():
    assert seconds(90) == minutes(1.5) == timedelta(seconds=90)
    assert hours(48) == days(2) == timedelta(days=2)
