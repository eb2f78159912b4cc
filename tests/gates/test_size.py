"""A file has at most 400 lines, a function body 40, a signature 7 parameters: tools/size_score.py counts."""

import subprocess
import sys

import pytest

from tests.gates.source import ROOT

MEASURED = ("hybrid", "mediators", "processors", "cli", "examples", "benchmarks")

TOO_BIG = {
    "file": "\n" * 401,
    "body of f": "def f():\n" + "    f()\n" * 41,
    "parameters of f": "def f(a, b, c, d, e, f, g, *, h): ...\n",
}


def score(home, *places):
    # Relative names: the ruler leaves out what lies below a directory named tests or build, wherever that is.
    command = [sys.executable, ROOT / "tools/size_score.py", "--list", *places]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)


def test_nothing_is_over():
    result = score(ROOT, *(name for name in MEASURED if (ROOT / name).is_dir()))
    assert result.returncode == 0, "\n" + result.stdout + result.stderr


@pytest.mark.parametrize("what", TOO_BIG)
def test_what_is_over_is_found(what, tmp_path):
    (tmp_path / "big.py").write_text(TOO_BIG[what])
    result = score(tmp_path, ".")
    assert result.returncode == 1
    assert what in result.stdout
