"""No notes to self in the tree: what is open is an issue, what is wrong is mended."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gates.source import ROOT

PLACES = ("hybrid", "mediators", "processors", "cli", "examples", "benchmarks", "tests", "tools", ".ci")
FILES = ("Makefile", "pyproject.toml")
ENDINGS = {"", ".py", ".lua", ".sh", ".toml"}
WORDS = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
MARK = re.compile(rf"\b({'|'.join(WORDS)})\b")


def marks(root: Path) -> Iterator[str]:
    """Each line that has one, with its place."""
    paths = [root / name for name in FILES if (root / name).is_file()]
    for place in PLACES:
        paths += [
            path for path in sorted((root / place).rglob("*")) if path.is_file() and path.suffix in ENDINGS
        ]
    for path in paths:
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MARK.search(line):
                yield f"{path}:{number}: {line.strip()}"


def test_there_are_none():
    found = list(marks(ROOT))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("word", WORDS)
def test_one_is_found(word, tmp_path):
    (tmp_path / "hybrid").mkdir()
    (tmp_path / "hybrid/settle.lua").write_text(f"return 1\n-- {word}: more\n-- mktemp a{word}b\n")
    assert [mark.partition("settle.lua:")[2] for mark in marks(tmp_path)] == [f"2: -- {word}: more"]
