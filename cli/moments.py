"""Moments as people write them on a command line: how long ago, a time, or the id of a stream entry."""

from __future__ import annotations

import re
from datetime import datetime, time

from hybrid.errors import SettingsError

_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_ID = re.compile(r"\d{1,18}-\d{1,18}|\d{12,18}")
_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def stream_id(option: str, text: str, now: int) -> str:
    """Return the place in a stream (an id, or ms since 1970) that a text means, `now` being in ms.

    Takes 10m, 1h30m or 2d (so long ago), 14:05 (today), 2026-01-31, 2026-01-31T14:05 or with a zone
    (otherwise local), and an id such as 1700000000000-0. Raises SettingsError, which names the option.
    """
    if _ID.fullmatch(text):
        return text
    if _SPAN.fullmatch(text):
        ago = sum(float(number) * _MS[unit] for number, unit in _PART.findall(text))
        return str(max(now - int(ago), 0))
    moment = _dated(text, now)
    if moment is None or moment.timestamp() < 0:
        raise SettingsError(
            f"{option} {text!r}: is how long ago (10m, 1h30m, 2d), a time (14:05, 2026-01-31T14:05:00Z) or"
            " the id of a stream entry (1700000000000-0)"
        )
    return str(int(moment.timestamp() * 1000))


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
