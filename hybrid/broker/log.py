"""The settle log: one compact entry per delivery, in a capped stream. The waterfall, the console and `tail`
read it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgpack

from hybrid.codec import pack

DONE, RETRIED, FAILED, EXPIRED, HANDED_BACK = "done", "retried", "failed", "expired", "handed back"
CLASSIFIED, STARTED, ADVANCED, ENDED, DUPLICATE = "classified", "started", "advanced", "ended", "duplicate"


class LogEntry(NamedTuple):
    """What one delivery came to. The entry's own id tells when it settled; `taken` (ms) when it was read."""

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

    def packed(self) -> bytes:
        """Return it as it stands in the log."""
        return pack(self)

    @classmethod
    def read(cls, packed: bytes) -> LogEntry:
        """Return what `packed` made."""
        return cls(*msgpack.unpackb(packed))
