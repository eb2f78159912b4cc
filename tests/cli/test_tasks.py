"""`hybrid tasks`: what flows ask people, from the command line."""

import os
import pty
import subprocess

import pytest

from tests.cli.conftest import PATIENCE

ASKED = 50
"""Where the ids of these tests begin."""


@pytest.fixture
def ask(hybrid):
    """Start a flow that asks; return the id of its task."""

    def start(note, id):
        assert hybrid("send", "go", f"n={ASKED}", f"note={note}", "--id", id).code == 0
        for _ in range(200):
            if any(each["id"] == f"{id}/1" for each in hybrid("tasks", "list", "-n", "1000", "--json").data):
                return f"{id}/1"
        raise AssertionError(f"{id} asks nobody")

    return start


def test_the_list_and_its_filters(hybrid, ask):
    id = ask("approval", "task-list")

    def listed(*words):
        return [each["id"] for each in hybrid("tasks", *words, "-n", "1000", "--json").data]

    assert id in listed("list", "--for", "boss", "--type", "go")
    assert id not in listed("list", "--for", "nobody")
    assert id not in listed("list", "--type", "ping")
    assert id not in listed("list", "--older-than", "1h")
    header, *rows = hybrid("tasks", "list", "-n", "1000").out.splitlines()
    assert header.split() == ["TASK", "FOR", "CLAIMED", "BY", "AGE", "DUE", "IN", "EVENT", "QUESTION"]
    (row,) = [row for row in rows if row.startswith(f"{id} ")]
    assert row.endswith("Go?é")
    assert hybrid("tasks", "list", "--for", "nobody").err == "nobody is asked anything of this kind\n"
    assert hybrid("tasks", "list", "--older-than", "soon").code == 2
    said = hybrid("tasks", "complete", id, "--choice", "no", "--as", "ann")
    assert (said.code, said.out) == (0, f"{id}: no, by ann\n")
    assert id not in listed("list")


def test_one_is_shown_claimed_reassigned_and_completed(hybrid, ask):
    id = ask("approval", "task-one")
    shown = hybrid("tasks", "show", id).out
    assert f"task {id}  open  Go?é" in shown
    assert f"about       n: {ASKED}" in shown
    assert f"`hybrid tasks complete {id} --choice yes|no`" in shown
    assert hybrid("tasks", "claim", id, "--as", "ann").out == f"{id}: claimed by ann\n"
    taken = hybrid("tasks", "claim", "task-one", "--as", "bob")
    assert taken.err.startswith(f"error: task {id} is claimed by ann, since 20")
    assert taken.code == 2
    assert hybrid("tasks", "complete", id, "--choice", "yes", "--as", "bob").code == 2
    assert "waiting for boss, claimed by ann" in hybrid("flows", "show", "task-one").out
    said = hybrid("tasks", "reassign", id, "--to", "chief", "--reason", "ill", "--as", "bob")
    assert said.out == f"{id}: is for chief\n"
    assert hybrid("tasks", "claim", id, "--as", "bob", "--json").data["claimed_by"] == "bob"
    assert hybrid("tasks", "claim", id, "--as", "eve", "--take-over").code == 0
    assert hybrid("tasks", "complete", id, "--choice", "yes", "--note", "go on", "--as", "eve").code == 0
    late = hybrid("tasks", "complete", id, "--choice", "no", "--as", "bob")
    assert late.err.startswith(f"error: task {id} was answered by eve at 20")
    shown = hybrid("tasks", "show", id).out
    assert "choice      yes" in shown
    assert "note        go on" in shown
    assert ": yes (go on)" in hybrid("flows", "show", "task-one").out


def test_a_form_is_filled_in(hybrid, ask):
    id = ask("form", "task-form")
    assert "form        n  a whole number, > 0  so many" in hybrid("tasks", "show", id).out
    assert hybrid("tasks", "show", id, "--json").data["schema"]["required"] == ["n"]
    for words, problem in [
        ((), f"say what: `hybrid tasks complete {id} --set n=…`"),
        (("--choice", "yes"), "choice: there is none to make"),
        (("--set", "n=0"), "n: Input should be greater than 0, got '0'"),
        (("--set", "n=1", "--set", "m=1"), "m: there is no such field; those are: n, tags"),
        (("--set", "n"), "'n' is no key=value"),
        (("--data", "[1]"), "data: is an object with the form's fields"),
        (("--data", "{"), "no JSON"),
        (("--data", "{}", "--set", "n=1"), "give the form as --set or as --data, not both"),
    ]:
        said = hybrid("tasks", "complete", id, *words)
        assert (said.code, problem in said.err) == (2, True), said.err
    assert hybrid("tasks", "complete", id, "--set", "n=3", "--set", 'tags:=["a"]').code == 0
    assert '"n": 3' in hybrid("flows", "show", "task-form").out


def test_what_is_not_there_is_told(hybrid):
    for verb in (("show",), ("claim",), ("complete",), ("reassign", "--to", "x")):
        said = hybrid("tasks", verb[0], "nothing/1", *verb[1:])
        assert (said.code, said.err[:32]) == (2, "error: no task nothing/1: a task")


def typed(place, id, text):
    """Complete a task on a terminal, where somebody types; return what it said."""
    ours, theirs = pty.openpty()
    ends = {"stdin": theirs, "stdout": theirs, "stderr": subprocess.PIPE}
    child = place.spawn("tasks", "complete", id, "--as", "ann", **ends)
    os.write(ours, text)
    _, err = child.communicate(timeout=PATIENCE)
    os.close(theirs)
    os.close(ours)
    assert child.returncode == 0, err
    return err


def test_on_a_terminal_it_asks(hybrid, ask, place):
    id = ask("form", "task-asks")
    err = typed(place, id, b"none\n-1\n7\n\n")
    assert "n (a whole number, > 0) - so many: " in err
    assert "Input should be a valid integer" in err
    assert "Input should be greater than 0, got '-1'" in err
    assert hybrid("tasks", "show", id, "--json").data["data"] == {"n": 7, "tags": []}


def test_on_a_terminal_it_asks_for_the_choice(hybrid, ask, place):
    id = ask("approval", "task-choice")
    err = typed(place, id, b"perhaps\n2\n")
    assert "one of yes, no, or its number" in err
    assert hybrid("tasks", "show", id, "--json").data["choice"] == "no"
