"""Programs that use the embedded server, and what can be seen of it from outside."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hybrid.server.home import socket_for
from hybrid.server.locks import is_free
from hybrid.server.wire import ask

ROOT = Path(__file__).parents[2]

USER = """
import sys
from pathlib import Path
from hybrid.server import open_embedded
from hybrid.server.wire import ask

with open_embedded(Path(sys.argv[1])) as lease:
    print(lease.server.pid, flush=True)
    while line := sys.stdin.readline().split():
        try:
            print(ask(Path(lease.url.removeprefix("unix://")), *line), flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


class User:
    """A program of its own that has the server open, until its input ends."""

    def __init__(self, directory):
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(directory)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def server_pid(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return int(line)

    def ask(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def leave(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()
        self.process.stderr.close()

    def kill9(self):
        self.process.kill()
        self.process.wait(20)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.stderr.close()


def until(condition, seconds=20.0):
    """Wait until it holds; return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def kill9(pid):
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid))


def path_of(lease):
    return Path(lease.url.removeprefix("unix://"))


def say(lease, *words):
    return ask(path_of(lease), *words)


def said_again(lease, *words):
    """Ask until somebody answers, as a client that reconnects."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if answer := say(lease, *words):
                return answer
        except OSError:
            time.sleep(0.002)
    raise AssertionError("nobody answered")


def is_gone(home, pid):
    """The server is down and left nothing that says it runs, or that it ended badly."""
    left = [path for path in (home.state, home.unclean, socket_for(home.directory)) if path.exists()]
    return not alive(pid) and is_free(home.guardian) and not left


def rewrites(home):
    """How often the append-only file was written anew: its base file counts."""
    names = [path.name for path in (home.directory / "appendonlydir").glob("*.base.*")]
    return max((int(name.split(".")[2]) for name in names), default=0)
