"""docs/complex-order.md: what is typed there prints what stands there, but for times."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.terminal import PATIENCE, Terminal, session, told


@pytest.fixture
def terminal(server: str, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal beside which the bookstore runs."""
    terminal = Terminal(tmp_path, server, "bookstore")
    terminal.runs()
    yield terminal
    terminal.close()


@pytest.mark.timeout(180)
def test_the_session(terminal):
    for command, said in session("complex-order.md"):
        program, *words = shlex.split(command)
        assert program == "hybrid"
        until = time.monotonic() + PATIENCE
        while told(printed := terminal.types(*words)) != told(said):
            assert words[:2] in (["tasks"], ["tasks", "show"], ["flows", "list"]), f"$ {command}\n{printed}"
            assert time.monotonic() < until, f"$ {command}\n{printed}"  # a look may be too early
