"""Sessions on the pages of docs/: what is typed there, what is printed then, and a terminal to type it at."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hybrid.ids import new_id
from tests.conftest import swept

ROOT = Path(__file__).parents[2]


def session(page: str) -> list[tuple[str, str]]:
    """Return what is typed on a page, and what is printed then."""
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.S | re.M)
    return [
        (command, said)
        for block in blocks
        for command, said in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)
    ]


def told(text: str, places: Mapping[str, str]) -> list[str]:
    """Return the lines of a session, with places for what is another each time (patterns), and without what
    was answered.
    """
    for pattern, place in places.items():
        text = re.sub(pattern, place, text)
    return [line.strip() for line in text.splitlines() if line.strip() not in ("", "y")]


class Terminal:
    """A directory in which programs are typed, for an application on a server."""

    def __init__(self, directory: Path, url: str, app: str, **environment: str) -> None:
        self.directory = directory
        self.app = app
        self.domain = new_id()
        facts = {"HYBRID_APP": app, "HYBRID_REDIS_URL": url, "HYBRID_DOMAIN": self.domain}
        people = {"LOGNAME": "ann", "USER": "ann", "PYTHONPATH": str(ROOT)}
        self._env = {**os.environ, **facts, **people, **environment}
        self._url = url

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        """Start a command of hybrid."""
        command = [sys.executable, "-P", "-m", "cli", *words]
        return subprocess.Popen(
            command, cwd=self.directory, env=self._env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def types(self, *words: str, given: str = "y\n") -> str:
        """Type a command of hybrid; return what it prints."""
        return self.spawn(*words).communicate(given, timeout=40)[0]

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Have the application run beside the terminal."""
        worker = self.spawn("run", "--quiet")
        assert worker.stdout
        assert "ready" in worker.stdout.readline()
        yield
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=30)
        name = self.app.removesuffix(".py")
        assert not swept(self._url, f"{name}.{self.domain}")
