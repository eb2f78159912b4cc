"""What is sent later: the times that can be, and the ones that can't."""

from datetime import UTC, datetime, timedelta

import pytest

from hybrid.broker.scheduled import when
from hybrid.errors import ScheduleError

NOW = 1_800_000_000_000
AT = datetime.fromtimestamp(NOW / 1000, UTC)


def test_times_that_can_be():
    assert when(None, timedelta(minutes=10), NOW) == ("after", 600_000)
    assert when(None, timedelta(0), NOW) == ("after", 0)
    assert when(AT + timedelta(days=3650), None, NOW) == ("at", NOW + 3650 * 86_400_000)
    assert when(datetime(1, 1, 2, tzinfo=UTC), None, NOW) == ("at", 0)


@pytest.mark.parametrize(
    ("at", "after", "says"),
    [
        (AT, timedelta(1), "not both"),
        (None, timedelta(seconds=-1), "nothing is sent before now"),
        (None, timedelta(days=3660), "later than in ten years"),
        (AT + timedelta(days=3660), None, "later than in ten years"),
        (datetime.max.replace(tzinfo=UTC), None, "later than in ten years"),
        (datetime(2027, 1, 1), None, "say in which time zone"),  # noqa: DTZ001 - that is the mistake
    ],
)
def test_times_that_can_not_be(at, after, says):
    with pytest.raises(ScheduleError, match=says):
        when(at, after, NOW)
