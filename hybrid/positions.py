"""Positions in a topic: where a group begins, and which part of what it is given is history."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hybrid.errors import ApplicationError

BEGINNING, NOW = "beginning", "now"
Start = str | datetime | timedelta
"""Where a new group begins: "beginning" (all that the topic still keeps), "now", a moment with a time
zone, so long ago, or the id of the first entry.
"""
Place = tuple[int, int]
"""The id of an entry as numbers, which compare as entries follow one another."""

_ID = re.compile(r"\d{1,18}(-\d{1,18})?", re.ASCII)
_LAST = (1 << 53) - 1
"""The highest number within a ms that Lua counts exactly."""


class History(NamedTuple):
    """What is replayed to a group: the entries after one place, up to another."""

    after: Place
    upto: Place

    @classmethod
    def read(cls, text: str) -> History:
        """Return it as the scripts `register` and `reset` write it: two ids with a space between."""
        after, _, upto = text.partition(" ")
        return cls(place(after), place(upto))

    def has(self, entry: bytes) -> bool:
        """Tell whether an entry is replayed."""
        return self.after < place(entry.decode()) <= self.upto


def place(id: str) -> Place:
    """Return an entry's id ("MS-N", or "MS" for its first) as numbers."""
    ms, _, number = id.partition("-")
    return int(ms), int(number or 0)


def checked(start: Any, who: str) -> Start:
    """Return a start as it was given. Raises ApplicationError, which begins with `who`, when it is none."""
    if isinstance(start, datetime):
        if start.tzinfo is None:
            raise ApplicationError(
                f"{who}: start={start!r} has no time zone, and workers may be in several: give it one,"
                " datetime(…, tzinfo=UTC)"
            )
    elif isinstance(start, timedelta):
        if start < timedelta(0):
            raise ApplicationError(
                f"{who}: start={start!r} is in the future: a timedelta says how long ago, as hours(1)"
            )
    elif not isinstance(start, str) or not (start in (BEGINNING, NOW) or _ID.fullmatch(start)):
        raise ApplicationError(
            f'{who}: start={start!r} is no place to begin at: give "{BEGINNING}", "{NOW}", a datetime with a'
            ' time zone, a timedelta (so long ago), or the id of an entry, as "1700000000000-0"'
        )
    found: Start = start
    return found


def position(start: Start, now: int) -> str:
    """Return the id after which a group reads that begins here, `now` being in ms: 0 for the beginning, $ for
    the end.
    """
    if start == BEGINNING:
        return "0"
    if start == NOW:
        return "$"
    if isinstance(start, timedelta):
        first = now - int(start.total_seconds() * 1000), 0
    elif isinstance(start, datetime):
        first = int(start.timestamp() * 1000), 0
    else:
        first = place(start)
    ms, number = first
    if number > 0:
        return f"{ms}-{min(number - 1, _LAST)}"
    return f"{ms - 1}-{_LAST}" if ms > 0 else "0"
