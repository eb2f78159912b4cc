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
