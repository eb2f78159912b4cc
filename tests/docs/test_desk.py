"""docs/desk.md: what is typed there prints what stands there, but for ids and times."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.terminal import Terminal, session, told

TRADES = [("F1", "AAPL", "8756 SHARES"), ("A1", "AAPL", "10"), *((f"A{n}", "XYZ", "10") for n in (2, 3, 4))]


@pytest.fixture
def terminal(server: str, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal beside which the application runs, and five trades have come in."""
    terminal = Terminal(tmp_path, server, "trades")
    terminal.runs()
    for account, symbol, shares in TRADES:
        words = {"account": account, "side": "BUY", "symbol": symbol, "shares": shares, "pin": "1234"}
        terminal.types("send", "place-trade", *(f"{name}={value}" for name, value in words.items()))
    while sum(group["count"] for group in json.loads(terminal.types("desk", "--json"))) < 4:
        pass
    yield terminal
    terminal.close()


@pytest.mark.timeout(180)
def test_the_session(terminal):
    (first,) = json.loads(terminal.types("desk", "list", "--where", "account=F1", "--json"))
    for command, said in session("desk.md"):
        if "listed now" in command:
            (terminal.directory / "listed").touch()
        program, *words = shlex.split(re.sub(r"exchange/\d+-\d+", first["id"], command))
        assert program == "hybrid"
        printed = terminal.types(*words)
        assert told(printed) == told(said), f"$ {command}\n{printed}"
