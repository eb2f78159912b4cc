"""A terminal at which a page of docs/ is typed; what it prints stands there, but for ids and times."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from hybrid.ids import new_id
from tests.conftest import swept

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE = 30
PLACES = {
    r"exchange/\d+-\d+": "ID",
    r"\b[0-9a-f]{24}\b": "MESSAGE",
    r"\S+-\d+-[0-9a-f]{6}\b": "WORKER",
    r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\d+": "TIME",
    r"\b[\d.]+ (ms|s|m)\b( \d+ s)?": "AGE",
    r" +": " ",
}
"""What is another each time."""


def told(text: str) -> list[str]:
    """Return the lines of a session, without what is another each time, and what was answered."""
    for pattern, place in PLACES.items():
        text = re.sub(pattern, place, text)
    return [line.strip() for line in text.splitlines() if line.strip() not in ("", "y")]


def session(page: str) -> list[tuple[str, str]]:
    """Return what is typed on a page of docs/, and what is printed then."""
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.S | re.M)
    return [
        (command, said)
        for block in blocks
        for command, said in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)
    ]


class Terminal:
    """A directory with a page's application in it, or the bookstore, and who sits there."""

    def __init__(self, directory: Path, url: str, app: str) -> None:
        self.directory = directory
        self._url, self._app, self._domain = url, app, new_id()
        file = HERE / f"{app}.py"
        if file.exists():
            shutil.copy(file, directory)
        editor = directory / "editor"
        editor.write_text("#!/bin/sh\nsed -i 's/8756 SHARES/8756/' \"$1\"\n")
        editor.chmod(0o700)
        facts = {
            "HYBRID_APP": file.name if file.exists() else app,
            "HYBRID_REDIS_URL": url,
            "HYBRID_DOMAIN": self._domain,
        }
        people = {"LOGNAME": "ann", "EDITOR": str(editor), "VISUAL": "", "PYTHONPATH": str(ROOT)}
        self._env = {**os.environ, **facts, **people}

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        """Type `hybrid` and words, and go on."""
        command = [sys.executable, "-P", "-m", "cli", *words]
        return subprocess.Popen(
            command, cwd=self.directory, env=self._env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def types(self, *words: str, given: str = "y\n") -> str:
        """Type `hybrid` and words, answer yes to what it asks, and return what it prints."""
        return self.spawn(*words).communicate(given, timeout=PATIENCE + 10)[0]

    def runs(self) -> None:
        """Let the application run beside."""
        self._worker = self.spawn("run", "--quiet")
        assert self._worker.stdout
        assert "ready" in self._worker.stdout.readline()

    def close(self) -> None:
        """End the application; nothing of it may be left."""
        self._worker.send_signal(signal.SIGTERM)
        self._worker.communicate(timeout=PATIENCE)
        assert not swept(self._url, f"{self._app}.{self._domain}")
