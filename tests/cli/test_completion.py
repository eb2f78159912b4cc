"""Completion on the shell's command line."""

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import SHOP


def completed(place, line):
    """Return what a shell would offer at the end of a line."""
    env = {**os.environ, **place.env, "PYTHONPATH": str(SHOP.parents[2])}
    env |= {
        "_HYBRID_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    script = "import sys; sys.argv[0] = 'hybrid'; from cli.main import app; app(prog_name='hybrid')"
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(
        command, cwd=place.directory, env=env, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hybrid send ", ["go", "ping"]),
        ("hybrid explain g", ["go"]),
        ("hybrid tail wor", ["work", "worked"]),
        ("hybrid subscribe wor", ["worked"]),
        ("hybrid groups show l", ["listener"]),
        ("hybrid --app nothing send ", []),
    ],
)
def test_names(place, line, offered):
    assert completed(place, line) == offered


def test_flows(hybrid, place):
    hybrid("send", "go", "n=1", "--wait", "--id", "completed-1")
    assert "completed-1" in completed(place, "hybrid flows show complete")
    assert "completed-1" in completed(place, "hybrid trace complete")


def test_tasks(hybrid, place):
    hybrid("send", "go", "n=1", "note=approval", "--id", "completed-2")

    def is_offered():
        return "completed-2/1" in completed(place, "hybrid tasks claim completed-")

    assert any(is_offered() for _ in range(20))
    hybrid("tasks", "complete", "completed-2/1", "--choice", "yes")
    assert not is_offered()
