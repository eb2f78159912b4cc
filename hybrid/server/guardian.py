"""The guardian: the small process that is the server's parent, and knows when nobody uses it any more."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from hybrid.errors import ServerError
from hybrid.server.home import Home, Phase, State
from hybrid.server.locks import FileLock
from hybrid.server.process import Patience, ServerProcess

STEADY = 10.0
"""A server that ran for so many seconds before it died is restarted at once."""

TRIES = 3
"""So often the first start is tried when the server is killed meanwhile, as by a kernel short of memory."""

PAUSES = (0.1, 5.0)
"""The first and the longest pause, in seconds, before a server that keeps dying is restarted."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a guardian is spawned for.

    Fields: `timeout` in seconds; `lock`, the descriptor of its own lock, inherited: it has it from its birth.
    """

    directory: Path
    binary: Path
    socket: Path
    timeout: float
    lock: int

    def words(self) -> list[str]:
        """Return it as arguments of a program."""
        return [str(self.directory), str(self.binary), str(self.socket), str(self.timeout), str(self.lock)]

    @classmethod
    def parse(cls, words: list[str]) -> Order:
        """Return what `words` gave."""
        directory, binary, socket, timeout, lock = words
        return cls(Path(directory), Path(binary), Path(socket), float(timeout), int(lock))


class Guardian:
    """Starts the server, restarts it when it dies, and stops it when it gets the users' lock for itself.

    It works in the data directory.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._home = Home.inside(order.directory)
        self._own = FileLock(self._home.guardian, order.lock)
        self._users = FileLock(self._home.users)
        self._abandoned = Event()
        self._news = Event()
        self._pause = 0.0
        self._ready = 0.0
        self._said = 0.0
        self._server = self._next_server()

    def run(self) -> int:
        """Return when nobody uses the server any more, or when its first start failed; an exit status."""
        Thread(target=self._wait_for_users_to_leave, name="users", daemon=True).start()
        try:
            self._start_first()
        except (ServerError, OSError) as error:
            return self._give_up(str(error))
        while not self._abandoned.is_set():
            self._news.wait()
            self._news.clear()
            if self._server.ended.is_set():
                self._restart()
        self._leave()
        return 0

    def _give_up(self, problem: str) -> int:
        """Tell those who wait why there is no server. Who comes later shall not hear it, but try anew."""
        self._note(problem)
        if not self._abandoned.is_set():
            self._say(Phase.FAILED, message=problem)
        return 1

    def _wait_for_users_to_leave(self) -> None:
        self._users.wait_exclusive()
        self._abandoned.set()
        self._news.set()

    def _next_server(self) -> ServerProcess:
        return ServerProcess(self._home, self._order.binary, self._order.socket, self._news.set)

    def _start_first(self) -> None:
        """Start the server; again when somebody killed it meanwhile, but not when it ended for a reason."""
        for _ in range(TRIES - 1):
            try:
                return self._start()
            except ServerError as error:
                if not self._server.was_killed or self._abandoned.is_set():
                    raise
                self._note(str(error))
                self._server = self._next_server()
        self._start()

    def _start(self) -> None:
        self._server.start(Patience(self._order.timeout, self._abandoned.is_set, self._say_starting))
        self._say(Phase.READY)
        self._ready = time.monotonic()

    def _restart(self) -> None:
        """Have a new server in the place of one that died, or nobody who wants it."""
        died = self._server
        died.clear()
        if time.monotonic() - self._ready > STEADY:
            self._pause = 0.0
        while not self._abandoned.wait(self._pause):
            self._pause = min(max(2 * self._pause, PAUSES[0]), PAUSES[1])
            self._server = self._next_server()
            self._note(f"the server (pid {died.pid}) ended while it was in use; starting another one")
            try:
                return self._start()
            except (ServerError, OSError) as error:
                self._note(str(error))

    def _leave(self) -> None:
        """Stop the server, and only then let others start one: they wait for the users' lock."""
        self._say(Phase.STOPPING)
        self._server.stop()
        self._home.state.unlink(missing_ok=True)
        self._own.close()
        self._users.close()

    def _say_starting(self) -> None:
        """Show those who wait, now and then, that it goes on: data of many gigabytes take minutes to load."""
        if time.monotonic() - self._said > 0.2:
            self._said = time.monotonic()
            self._say(Phase.STARTING)

    def _say(self, phase: Phase, message: str = "") -> None:
        """Tell those who wait. Whoever deleted the data directory need not be told."""
        state = State(phase, str(self._order.socket), self._server.pid, message)
        try:
            state.write(self._home.state)
        except OSError as error:
            self._note(f"can't tell how it goes: {error}")

    @staticmethod
    def _note(text: str) -> None:
        sys.stderr.write(f"{os.getpid()}:guardian {time.strftime('%d %b %Y %H:%M:%S')} {text}\n")
        sys.stderr.flush()


def main(words: list[str]) -> int:
    """Become a process of our own, that no terminal and no parent ends, and guard; return an exit status.

    A SIGTERM to everybody, as from systemd, must not take the server from users that are about to finish: the
    guardian leaves after the last of them. Handlers, and not SIG_IGN, since the server would inherit that.
    """
    if os.fork():
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return Guardian(Order.parse(words)).run()
