"""The pages of docs/ that have a program with its output after it: it runs, and prints just that."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = re.compile(r"^```python\n(.*?)^```\n\n```\n(.*?)^```", re.DOTALL | re.MULTILINE)
PROGRAMS = [
    pytest.param(*found, id=page.stem)
    for page in sorted((ROOT / "docs").glob("*.md"))
    for found in PROGRAM.findall(page.read_text())
]


def test_there_are_such_pages():
    pages = {"changing", "errors", "flows", "tasks", "testing", "time", "undoing"}
    assert pages <= {program.id for program in PROGRAMS}


@pytest.mark.parametrize(("program", "output"), PROGRAMS)
def test_it_runs_and_prints_what_the_page_says(program, output, tmp_path):
    (tmp_path / "program.py").write_text(program)
    run = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert run.stdout == output, run.stderr
