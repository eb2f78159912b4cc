"""Locks on files (flock): the kernel frees them when the last process that has them open dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """One open lock file. Two of them on one path compete, within a process too.

    A child that inherits the descriptor holds the same lock: it is free when the last of them has closed it.
    """

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600) if descriptor is None else descriptor

    def fileno(self) -> int:
        """Return the descriptor, to hand it to a child."""
        return self._descriptor

    def try_shared(self) -> bool:
        """Hold it together with others, if nobody holds it alone; return whether we do."""
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Hold it alone, if nobody else holds it; return whether we do. What we held before may be lost."""
        return self._try(fcntl.LOCK_EX)

    def wait_exclusive(self) -> None:
        """Block until we hold it alone."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let go of it; it may be taken again."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; a child that inherited it goes on holding the lock. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_free(path: Path) -> bool:
    """Return whether nobody holds this lock, in any way; a deleted directory has no holders."""
    try:
        lock = FileLock(path)
    except FileNotFoundError:
        return True
    try:
        return lock.try_exclusive()
    finally:
        lock.close()
