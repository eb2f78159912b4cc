"""Time: wall-clock milliseconds as the server counts them, so that all processes agree."""

from __future__ import annotations

import time


class Clock:
    """Milliseconds since 1970, corrected by the difference to the server's clock.

    The lease renewal corrects it each time it hears the server's time.
    """

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> int:
        """Return the server's time, as well as we know it, in ms."""
        return int(time.time() * 1000 + self._offset)

    def correct(self, server_ms: float) -> None:
        """Take the server's time, just heard."""
        self._offset = server_ms - time.time() * 1000
