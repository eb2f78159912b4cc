"""The server of tests: one for all beds of a process, started when the first one needs it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from hybrid.server import open_embedded

VARIABLE = "HYBRID_TEST_REDIS_URL"
"""The environment's variable for the address of another server. The one of the application is never taken:
tests do not belong there."""


def address() -> str:
    """Return the address of the server of tests. Starting an embedded one blocks, some 100 ms."""
    return os.environ.get(VARIABLE) or _embedded()


@cache
def _embedded() -> str:
    """Start an embedded server for as long as this process lives."""
    directory = Path(tempfile.mkdtemp(prefix="hybrid-tests-"))
    lease = open_embedded(directory)

    def close() -> None:
        lease.close()
        shutil.rmtree(directory, ignore_errors=True)

    atexit.register(close)
    return lease.url
