"""docs/desk.md: what is typed there prints what stands there, but for ids and times."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.sessions import Terminal, session, told

HERE = Path(__file__).parent
TRADES = [("F1", "AAPL", "8756 SHARES"), ("A1", "AAPL", "10"), *((f"A{n}", "XYZ", "10") for n in (2, 3, 4))]
PLACES = {
    r"exchange/\d+-\d+": "ID",
    r"\b[0-9a-f]{24}\b": "MESSAGE",
    r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\d+": "TIME",
    r"\b[\d.]+ (ms|s|m)\b( \d+ s)?": "AGE",
    r" +": " ",
}
"""What is another each time."""


@pytest.fixture
def terminal(server: str, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal beside which the application runs, and five trades have come in."""
    shutil.copy(HERE / "trades.py", tmp_path)
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/8756 SHARES/8756/' \"$1\"\n")
    editor.chmod(0o700)
    terminal = Terminal(tmp_path, server, "trades.py", EDITOR=str(editor), VISUAL="")
    with terminal.worker():
        for account, symbol, shares in TRADES:
            words = {"account": account, "side": "BUY", "symbol": symbol, "shares": shares, "pin": "1234"}
            terminal.types("send", "place-trade", *(f"{name}={value}" for name, value in words.items()))
        while sum(group["count"] for group in json.loads(terminal.types("desk", "--json"))) < 4:
            pass
        yield terminal


@pytest.mark.timeout(180)
def test_the_session(terminal):
    (first,) = json.loads(terminal.types("desk", "list", "--where", "account=F1", "--json"))
    for command, said in session("desk.md"):
        if "listed now" in command:
            (terminal.directory / "listed").touch()
        program, *words = shlex.split(re.sub(r"exchange/\d+-\d+", first["id"], command))
        assert program == "hybrid"
        printed = terminal.types(*words)
        assert told(printed, PLACES) == told(said, PLACES), f"$ {command}\n{printed}"
