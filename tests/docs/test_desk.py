"""docs/desk.md: what is typed there prints what stands there, but for ids and times."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid.ids import new_id
from tests.conftest import swept

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = (ROOT / "docs" / "desk.md").read_text()
TRADES = [("F1", "AAPL", "8756 SHARES"), ("A1", "AAPL", "10"), *((f"A{n}", "XYZ", "10") for n in (2, 3, 4))]
PLACES = {
    r"exchange/\d+-\d+": "ID",
    r"\b[0-9a-f]{24}\b": "MESSAGE",
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


def session() -> list[tuple[str, str]]:
    """Return what is typed on the page, and what is printed then."""
    blocks = re.findall(r"^```\n(.*?)^```", PAGE, re.S | re.M)
    return [
        (command, said)
        for block in blocks
        for command, said in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)
    ]


class Terminal:
    """A directory with the page's application in it, and who sits there."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.domain = new_id()
        shutil.copy(HERE / "trades.py", directory)
        editor = directory / "editor"
        editor.write_text("#!/bin/sh\nsed -i 's/8756 SHARES/8756/' \"$1\"\n")
        editor.chmod(0o700)
        facts = {"HYBRID_APP": "trades.py", "HYBRID_REDIS_URL": url, "HYBRID_DOMAIN": self.domain}
        people = {"LOGNAME": "ann", "EDITOR": str(editor), "VISUAL": "", "PYTHONPATH": str(ROOT)}
        self._env = {**os.environ, **facts, **people}

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "cli", *words]
        return subprocess.Popen(
            command, cwd=self.directory, env=self._env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def types(self, *words: str, given: str = "y\n") -> str:
        return self.spawn(*words).communicate(given, timeout=40)[0]


@pytest.fixture
def terminal(server: str, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal beside which the application runs, and five trades have come in."""
    terminal = Terminal(tmp_path, server)
    worker = terminal.spawn("run", "--quiet")
    assert worker.stdout
    assert "ready" in worker.stdout.readline()
    for account, symbol, shares in TRADES:
        words = {"account": account, "side": "BUY", "symbol": symbol, "shares": shares, "pin": "1234"}
        terminal.types("send", "place-trade", *(f"{name}={value}" for name, value in words.items()))
    while sum(group["count"] for group in json.loads(terminal.types("desk", "--json"))) < 4:
        pass
    yield terminal
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=30)
    assert not swept(server, f"trades.{terminal.domain}")


@pytest.mark.timeout(180)
def test_the_session(terminal):
    (first,) = json.loads(terminal.types("desk", "list", "--where", "account=F1", "--json"))
    for command, said in session():
        if "listed now" in command:
            (terminal.directory / "listed").touch()
        program, *words = shlex.split(re.sub(r"exchange/\d+-\d+", first["id"], command))
        assert program == "hybrid"
        printed = terminal.types(*words)
        assert told(printed) == told(said), f"$ {command}\n{printed}"
