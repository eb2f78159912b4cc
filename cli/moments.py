"""Moments as people write them on a command line: how long ago or from now, a time, the id of a stream
entry.
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta

from hybrid.errors import SettingsError

_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_ID = re.compile(r"\d{1,18}-\d{1,18}|\d{12,18}")
_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MOST = 86_400_000 * 365 * 1000
"""Ms of a thousand years: more is as good."""


def stream_id(option: str, text: str, now: int) -> str:
    """Return the place in a stream (an id, or ms since 1970) that a text means, `now` being in ms.

    Takes 10m, 1h30m or 2d (so long ago), 14:05 (today), 2026-01-31, 2026-01-31T14:05 or with a zone
    (otherwise local), and an id such as 1700000000000-0. Raises SettingsError, which names the option.
    """
    if _ID.fullmatch(text):
        return text
    if _SPAN.fullmatch(text):
        return str(max(now - int(_ms(text)), 0))
    moment = _dated(text, now)
    if moment is None or moment.timestamp() < 0:
        raise SettingsError(
            f"{option} {text!r}: is how long ago (10m, 1h30m, 2d), a time (14:05, 2026-01-31T14:05:00Z) or"
            " the id of a stream entry (1700000000000-0)"
        )
    return str(int(moment.timestamp() * 1000))


def span_of(option: str, text: str) -> timedelta:
    """Return the span of time that a text means: 30s, 10m, 1h30m, 2d. Raises SettingsError."""
    if not _SPAN.fullmatch(text):
        raise SettingsError(f"{option} {text!r}: is a span of time from now on, as 30s, 10m, 1h30m or 2d")
    return timedelta(milliseconds=min(_ms(text), _MOST))


def moment_of(option: str, text: str, now: int) -> datetime:
    """Return the moment that a text means, `now` being in ms: 2026-12-01T08:00Z (local without a zone), or a
    time alone, which is the next such. Raises SettingsError.
    """
    moment = _dated(text, now)
    if moment is None:
        raise SettingsError(
            f"{option} {text!r}: is a time, as 2026-12-01T08:00Z, 2026-12-01T08:00 (local), or 08:00 (the"
            " next)"
        )
    is_over = ":" in text[:3] and moment.timestamp() * 1000 < now  # today's, of a time alone
    return moment + timedelta(days=1) if is_over else moment


def _ms(span: str) -> float:
    return sum(float(number) * _MS[unit] for number, unit in _PART.findall(span))


def _dated(text: str, now: int) -> datetime | None:
    """Return the moment that an ISO 8601 text tells; a time alone is today's, one without a zone local."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        if ":" not in text:
            return None
    try:
        today = datetime.fromtimestamp(now / 1000).astimezone().date()
        return datetime.combine(today, time.fromisoformat(text)).astimezone()
    except (ValueError, OverflowError):
        return None
