"""The settle log: a line per delivery, in a stream kept by retention. The waterfall, the console and `tail`
read it.

Deliveries that settle together share stream entries: the field `e` holds up to 32 lines, one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import msgpack

from hybrid.codec import pack

DONE, RETRIED, FAILED, EXPIRED, HANDED_BACK = "done", "retried", "failed", "expired", "handed back"
PASSED_ON = "passed on"
IN_REPAIR, REPAIRED, DISCARDED = "in repair", "repaired", "discarded"
CLASSIFIED, STARTED, ADVANCED, ENDED, DUPLICATE = "classified", "started", "advanced", "ended", "duplicate"


class LogEntry(NamedTuple):
    """What one delivery came to. The entry's id tells when it settled; `taken` (ms) when it was read."""

    id: str
    type: str
    channel: str
    component: str
    consumer: str
    taken: int
    attempt: int
    outcome: str
    correlation: str = ""
    cause: str = ""
    flow: str = ""
    step: int = 0
    note: str = ""
    key: str = ""

    def packed(self) -> bytes:
        """Return it as it stands in the log."""
        return pack(self)


def entries_of(fields: dict[bytes, bytes]) -> list[LogEntry]:
    """Return the lines of a stream entry of the log."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(fields[b"e"])
    return [LogEntry(*line) for line in unpacker]
