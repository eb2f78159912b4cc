"""docs/operating.md: what is typed there prints what stands there, but for times."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.terminal import PATIENCE, Terminal, session, told

ORDERS = [("lamp", "Ann", 80), ("chair", "Bob", 150), ("desk", "Ann", 400), ("shelf", "Ada", 90)]
LOOKS = ("list", "show")


@pytest.fixture
def terminal(server: str, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal beside which the application runs, and four orders wait to be packed."""
    terminal = Terminal(tmp_path, server, "shipping")
    terminal.runs()
    for item, customer, total in ORDERS:
        words = (f"customer={customer}", f"item={item}", f"total={total}")
        terminal.types("send", "place-order", *words, "--id", item)
    while len(json.loads(terminal.types("flows", "list", "--step", "packed", "--json"))) < len(ORDERS):
        pass
    yield terminal
    terminal.close()


@pytest.mark.timeout(180)
def test_the_session(terminal):
    for command, said in session("operating.md"):
        program, *words = shlex.split(command)
        assert program == "hybrid"
        until = time.monotonic() + PATIENCE
        while told(printed := terminal.types(*words)) != told(said):
            looks = len(words) == 1 or words[1] in LOOKS
            assert looks, f"$ {command}\n{printed}"  # a look may be too early for what a worker does
            assert time.monotonic() < until, f"$ {command}\n{printed}"
