"""Time: wall-clock milliseconds as the server counts them, so that all processes agree."""

from __future__ import annotations

import time


class Clock:
    """Milliseconds since 1970, corrected by the difference to the server's clock.

    The lease renewal corrects it each time it hears the server's time, the schedule says what was skipped.
    """

    def __init__(self) -> None:
        self._offset = 0.0
        self.skipped = 0
        """How far (ms) time was skipped, in a test store."""

    def now(self) -> int:
        """Return the time, as well as we know it, in ms: the server's, and what was skipped."""
        return self.server_time() + self.skipped

    def server_time(self) -> int:
        """Return the server's own time, as well as we know it, in ms: ids of entries are made of that."""
        return int(time.time() * 1000 + self._offset)

    def correct(self, server_ms: float) -> None:
        """Take the server's time, just heard."""
        self._offset = server_ms - time.time() * 1000
