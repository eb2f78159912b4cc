"""`hybrid run --with FILE`: processors of a file, beside those of the application."""

import json
from textwrap import dedent

import pytest

from tests.cli.test_run import until

SUBSCRIBER = """
    from pathlib import Path

    from hybrid import Processor
    from {app} import Worked

    {name} = Processor("{name}")

    @{name}.on(Worked)
    async def note(event: Worked) -> None:
        with Path("{name}.txt").open("a") as file:
            print(event.n, file=file)
"""


def subscriber(place, name, text=SUBSCRIBER):
    path = place.directory / f"{name}.py"
    path.write_text(dedent(text).format(app=place.name, name=name))
    return path


def heard(place, name):
    path = place.directory / f"{name}.txt"
    return path.read_text().split() if path.exists() else []


def test_it_runs_the_processors_of_files_besides(still):
    subscriber(still, "first")
    subscriber(still, "second")
    with still.running("--with", "first.py", "--with", "second.py"):
        assert still.process("send", "go", "n=7", "--wait").code == 0
        until(lambda: heard(still, "first") == heard(still, "second") == ["7"])


def test_the_names_of_a_file_may_be_given(still):
    subscriber(still, "first")
    with still.running("first", "--with", "first.py"), still.running():
        assert still.process("send", "go", "n=7", "--wait").code == 0
        until(lambda: heard(still, "first") == ["7"])
        status = json.loads(still.process("status", "--json").out)
        assert len(status["consumers"]) == 2


def test_every_process_runs_them(still):
    subscriber(still, "first")
    child = still.spawn("run", "--quiet", "--processes", "2", "--with", "first.py")
    try:
        for _ in range(2):
            assert "(5 components)" in child.stdout.readline()
    finally:
        child.terminate()
        child.communicate(timeout=30)
    assert child.returncode == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("", "no Processor stands in it"),
        ("from {app} import listener", "the application has listener already"),
        ("from hybrid import Processor; p = Processor('listener')", "two components are called listener"),
        ("from hybrid import Mediator, Processor, HARD; p = Processor('p'); m = Mediator('m', handles=HARD)",
         "m is a mediator"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_the_file_and_the_reason(still, text, reason):
    subscriber(still, "mistake", text)
    said = still.process("run", "--with", "mistake.py")
    assert said.code == 2
    assert said.err.startswith("error: mistake.py")
    assert reason in said.err
    assert said.err.count("\n") == 1


def test_a_file_that_is_not_there(still):
    said = still.process("run", "--with", "nowhere.py")
    assert said.code == 2
    assert said.err.startswith("error: no file nowhere.py here")


def test_two_files_with_one_name(still):
    subscriber(still, "first")
    other = still.directory / "other.py"
    other.write_text((still.directory / "first.py").read_text())
    said = still.process("run", "--with", "first.py", "--with", "other.py")
    assert said.code == 2
    assert said.err == "error: other.py: two components are called first\n"
