"""Words for spans of time: seconds(5), minutes(5), hours(1), days(3)."""

from __future__ import annotations

from datetime import timedelta


def seconds(number: float) -> timedelta:
    """Return that many seconds."""
    return timedelta(seconds=number)


def minutes(number: float) -> timedelta:
    """Return that many minutes."""
    return timedelta(minutes=number)


def hours(number: float) -> timedelta:
    """Return that many hours."""
    return timedelta(hours=number)


def days(number: float) -> timedelta:
    """Return that many days."""
    return timedelta(days=number)


def exactly(ms: int) -> str:
    """Return a duration in the largest unit that it is a whole number of, as 30 d, 12 h, 5 m, 0.25 s."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        if ms and ms % size == 0:
            return f"{ms // size} {unit}"
    return f"{ms / 1000:.15g} s"
