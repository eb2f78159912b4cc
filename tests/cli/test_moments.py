"""Moments to come, as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.moments import moment_of, span_of
from hybrid.errors import SettingsError

NOON = datetime(2026, 12, 1, 12).astimezone()
NOW = int(NOON.timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30s", timedelta(seconds=30)),
        ("10m", timedelta(minutes=10)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5d", timedelta(hours=36)),
    ],
)
def test_spans(text, span):
    assert span_of("--in", text) == span


def test_moments():
    assert moment_of("--at", "2026-12-01T08:00Z", NOW) == datetime(2026, 12, 1, 8, tzinfo=UTC)
    assert moment_of("--at", "2026-12-01T08:00", NOW) == NOON.replace(hour=8)
    assert moment_of("--at", "13:00", NOW) == NOON.replace(hour=13)
    assert moment_of("--at", "08:00", NOW) == NOON.replace(hour=8, day=2)


@pytest.mark.parametrize("text", ["", "soon", "25:00", "10m", "2026-13-01"])
def test_what_is_no_moment(text):
    with pytest.raises(SettingsError, match="--at"):
        moment_of("--at", text, NOW)
