"""The line: options, errors, exit codes, help."""

import os
import signal

import pytest
from typer.main import get_command

from cli.group import hoisted
from cli.main import app


def names(group, prefix=()):
    for name, command in group.commands.items():
        yield (*prefix, name)
        if hasattr(command, "commands"):
            yield from names(command, (*prefix, name))


@pytest.mark.parametrize("words", list(names(get_command(app))), ids=" ".join)
def test_every_command_has_help_with_examples(anywhere, words):
    said = anywhere(*words, "--help")
    assert said.code == 0
    assert "Examples:" in said.out
    assert f"hybrid {words[0]}" in said.out


def test_without_words_it_shows_help(anywhere):
    said = anywhere()
    assert said.code == 0
    assert "send" in said.out


def test_version(anywhere):
    assert anywhere("--version").out.startswith("hybrid ")


@pytest.mark.parametrize(
    ("given", "front"),
    [
        (["status", "--app", "x"], ["--app", "x", "status"]),
        (["status", "--app=x", "--json"], ["--app=x", "status", "--json"]),
        (["--debug", "run", "--domain", "d", "a"], ["--debug", "--domain", "d", "run", "a"]),
        (["send", "go", "--", "--app"], ["send", "go", "--", "--app"]),
        (["send", "go", "a=--app"], ["send", "go", "a=--app"]),
        (["status", "--app"], ["--app", "status"]),
    ],
)
def test_the_roots_options_may_stand_anywhere(given, front):
    assert hoisted(given) == front


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sned"], "Did you mean 'send'?"),
        (["status", "--jsn"], "No such option"),
        (["status", "--app", "nope"], "no application 'nope'"),
        (["status", "--app", "nope.py"], "no file nope.py"),
        (["status", "--app", "json:loads"], "loads is a function, no App"),
        (["status", "--redis-url", "http://x"], "HYBRID_REDIS_URL"),
        (["status", "--redis-url", "redis://127.0.0.1:1"], "no connection to Redis at redis://127.0.0.1:1"),
        (["status", "--domain", "a b"], "HYBRID_DOMAIN"),
        (["flows", "list", "--limit", "0"], "limit"),
        (["flows", "list", "--state", "odd"], "running, paused, undoing, failed"),
        (["topology", "--json", "--mermaid"], "choose one"),
        (["failed", "retry"], "say which"),
        (["new", "app", "import"], "no name for a package"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(anywhere, words, says):
    said = anywhere(*words)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_variable_with_an_impossible_value_is_named(anywhere, monkeypatch):
    monkeypatch.setenv("HYBRID_SHARDS", "many")
    said = anywhere("status")
    assert said.code == 2
    assert "HYBRID_SHARDS" in said.err


def test_a_password_is_never_shown(anywhere):
    said = anywhere("status", "--redis-url", "redis://me:sekret@127.0.0.1:1")
    assert said.code == 2
    assert "sekret" not in said.err


def test_a_broken_module_is_named_with_its_line(anywhere, tmp_path):
    (tmp_path / "broken.py").write_text("x = 1\ny = x / 0\n")
    said = anywhere("topology", "--app", "broken.py")
    assert said.code == 2
    assert "broken.py:2: ZeroDivisionError" in said.err


def test_debug_shows_the_traceback(still):
    said = still.process("flows", "show", "nope", "--debug")
    assert said.code == 2
    assert "Traceback" in said.err
    assert said.err.endswith("(see retention)\n")


def test_a_reader_that_leaves_early_ends_it_quietly(still):
    child = still.spawn("topology", "--json")
    child.stdout.close()
    assert child.wait(30) == 141
    assert child.stderr.read() == ""
    child.stderr.close()


def test_ctrl_c_ends_it_with_130(place):
    child = place.spawn("send", "go", "n=1", "note=slow", "--wait")
    assert len(child.stdout.readline()) == 25  # the id: it waits now
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert err == ""


@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1, 2)])
def test_standard_streams_that_are_closed_are_as_if_nothing_was_there(still, closed):
    """As with `<&-` and `>&-`, and under some supervisors."""
    child = still.spawn("status", preexec_fn=lambda: [*map(os.close, closed)])
    out, err = child.communicate(timeout=30)
    assert (child.returncode, "Traceback" in err) == (0, False)
    assert ("ledger: balanced" in out) == (1 not in closed)
