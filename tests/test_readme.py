"""The README's program runs, and prints what stands after it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.S | re.M)


def test_the_first_program_runs_and_prints_what_the_readme_says(tmp_path):
    program = blocks("python")[0]
    output = README.partition(program)[2].split("```\n")[2]
    (tmp_path / "shop.py").write_text(program)
    run = subprocess.run(
        [sys.executable, "shop.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert run.stdout == output, run.stderr


def test_the_program_ends_within_the_first_25_lines():
    lines = README.splitlines()
    assert lines.index("asyncio.run(main())") < 25


def test_the_subscriber_is_found_in_a_copy_of_the_bookstore(tmp_path):
    (tmp_path / "gift_wrap.py").write_text(blocks("python")[1])
    code = "import sys; sys.path.insert(0, '.'); import gift_wrap; print(gift_wrap.gift_wrap.events)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert "PaymentApplied" in run.stdout, run.stderr
