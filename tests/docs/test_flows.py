"""docs/flows.md: its program runs, and prints what stands after it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "flows.md").read_text()


def test_the_program_runs_and_prints_what_the_page_says(tmp_path):
    ((program, output),) = re.findall(r"^```python\n(.*?)^```\n\n```\n(.*?)^```", PAGE, re.S | re.M)
    (tmp_path / "desk.py").write_text(program)
    run = subprocess.run(
        [sys.executable, "desk.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert run.stdout == output, run.stderr
