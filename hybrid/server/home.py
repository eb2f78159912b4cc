"""The two places of an embedded server: its data directory, and the short runtime directory of its socket."""

from __future__ import annotations

import json
import os
import stat
import tempfile
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from hybrid.errors import ServerError

LOG_BYTES = 1_000_000
"""A log larger than this is put aside (server.log.1) at the next start."""

SOCKET_BYTES = 103
"""The longest socket path that every system takes: AF_UNIX ends at 103 bytes on macOS, at 107 on Linux."""

STAGING = ".start"
"""Appended to the socket's name while the server is not ready yet."""


class Phase(StrEnum):
    """What a guardian is at."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class State:
    """What a guardian last said about its server, for the processes that wait for it.

    Fields: `at` in seconds since 1970; `socket` and `pid` of the server when READY, `message` when FAILED.
    """

    phase: Phase
    socket: str = ""
    pid: int = 0
    message: str = ""
    at: float = field(default_factory=time.time)

    def write(self, path: Path) -> None:
        """Put it in the place of the last one, whole."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> State | None:
        """Return what was written last; None when there is nothing, or nothing that we understand."""
        try:
            found = json.loads(path.read_text())
            return cls(**{**found, "phase": Phase(found["phase"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None


@dataclass(frozen=True, slots=True)
class Home:
    """A data directory, and which file in it means what.

    Fields: `directory` is its absolute path, for words; `base` the way to its files. The guardian works in
    the directory, with a `base` of ".": were the directory deleted and made anew by somebody else, the
    absolute path would lead to the other one's files.
    """

    directory: Path
    base: Path

    @classmethod
    def inside(cls, directory: Path) -> Home:
        """Return it for a process whose working directory it is."""
        return cls(directory, Path())

    @classmethod
    def prepare(cls, directory: Path) -> Home:
        """Create the directory when it is missing; raise ServerError when we can't write in it."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            home = cls(directory.resolve(), directory.resolve())
            tempfile.TemporaryFile(dir=home.directory).close()
            for lock in (home.users, home.presence, home.guardian, home.server):
                os.close(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise ServerError(
                f"the embedded server can't keep its data in {directory}: {error.strerror}"
                f" ({error.filename or directory}). Make this directory writable for user {os.getuid()},"
                " choose another one, or set HYBRID_REDIS_URL to a Redis of your own"
            ) from error
        return home

    @property
    def users(self) -> Path:
        """The lock that every user holds shared, and that the guardian waits for."""
        return self.base / "users.lock"

    @property
    def presence(self) -> Path:
        """The lock that every user holds shared too: by it, one who leaves sees if it is the last."""
        return self.base / "presence.lock"

    @property
    def guardian(self) -> Path:
        """The lock that the guardian holds from its birth to its end."""
        return self.base / "guardian.lock"

    @property
    def server(self) -> Path:
        """The lock that the server's process and its children hold: never two on one append-only file."""
        return self.base / "server.lock"

    @property
    def state(self) -> Path:
        """Where the guardian writes its State."""
        return self.base / "state.json"

    @property
    def unclean(self) -> Path:
        """The marker that lies here from the server's start to its clean end."""
        return self.base / "unclean"

    @property
    def log(self) -> Path:
        """The log of the server, and of the guardian when it has something to say."""
        return self.base / "server.log"

    def mark_unclean(self) -> None:
        """Lay the marker, so that it is there after a power cut too."""
        self.unclean.touch()
        descriptor = os.open(self.base, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def open_log(self) -> int:
        """Return a descriptor that appends to the log, after putting a long one aside."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        return os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def log_size(self) -> int:
        """Return the length of the log now, in bytes."""
        return self.log.stat().st_size if self.log.exists() else 0

    def log_tail(self, start: int = 0, lines: int = 12) -> str:
        """Return the last lines that were logged after the byte `start`, indented; or that there are none."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(start, self.log_size() - 8192))
                text = log.read().decode(errors="replace").strip()
        except OSError:
            text = ""
        last = text.splitlines()[-lines:]
        return "\n".join(f"    {line}" for line in last) if last else "    (it logged nothing)"


def socket_for(directory: Path) -> Path:
    """Return the path of the socket for the server of this data directory, in a directory that is only ours.

    A directory that was deleted and made anew is another one: its server must not take the old one's socket.
    """
    name = sha256(f"{directory}:{directory.stat().st_ino}".encode()).hexdigest()[:16] + ".sock"
    session = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere")
    place = session / "hybrid"
    short = len(os.fsencode(place / name)) + len(STAGING) <= SOCKET_BYTES
    if not (short and _is_ours(session)):  # after `su` it is set, and belongs to somebody else
        place = Path("/tmp") / f"hybrid-{os.getuid()}"
    return _private(place) / name


def _is_ours(directory: Path) -> bool:
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _private(directory: Path) -> Path:
    """Create a directory for this user only; refuse one that somebody else may have laid there."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        if _is_ours(directory):
            directory.chmod(0o700)
            return directory
    except OSError as error:
        raise ServerError(
            f"the embedded server can't make its runtime directory {directory}: {error.strerror}."
            " Set XDG_RUNTIME_DIR to a short path that you can write to"
        ) from error
    raise ServerError(
        f"the runtime directory {directory} is not a directory that belongs to user {os.getuid()}, so that"
        " somebody else could read the embedded server's socket. Remove it, or set XDG_RUNTIME_DIR to a"
        " short path of your own"
    )
