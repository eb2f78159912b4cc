"""`hybrid trace`: the whole story of a message, by any id of it."""

import pytest

from cli.commands import trace as command


@pytest.fixture
def story(hybrid):
    """The id of an event whose flow has ended, and whose listener has heard it, with its trace."""

    def told(id):
        hybrid("send", "go", "n=5", "token=q58w17z", "--id", id, "--wait")
        for _ in range(100):
            found = hybrid("trace", id, "--json").data
            worked = command_of(found)["handlings"][0]["sent"][0]
            if worked["handlings"] and worked["handlings"][0]["attempts"]:
                return found
        pytest.fail(f"the listener is not there: {found}")

    return told


def command_of(found):
    boss = next(each for each in found["root"]["handlings"] if each["component"] == "boss")
    return next(sent for sent in boss["sent"] if sent["kind"] == "command")


def test_it_tells_the_whole_story(hybrid, story):
    story("trace-whole")
    said = hybrid("trace", "trace-whole")
    assert said.code == 0
    for text in (
        "go trace-whole  completed in ",
        "class hard by by_habit: it always was, carried out by boss",
        '"token": "**********"',
        "├─ front  classified by ",
        "└─ boss  completed by ",
        "├─ 1 work → worker  done by ",
        "[trace-whole/1/1]",
        "│  └─ worked  [",
        "│     └─ listener  done by ",
        "└─ ended  unheard  [",
    ):
        assert text in said.out
    assert "q58w17z" not in said.out
    assert "not told" not in said.out


def test_a_message_in_the_middle_is_marked(hybrid, story):
    worked = command_of(story("trace-middle"))["handlings"][0]["sent"][0]["id"]
    lines = hybrid("trace", worked).out.splitlines()
    (marked,) = (line for line in lines if " > " in line)
    assert f"worked  [{worked}]" in marked
    assert any("└─ ended" in line for line in lines)
    only = hybrid("trace", worked, "--only").out
    assert "└─ ended" not in only
    assert "front" not in only
    assert "work → worker" in only
    assert "listener  done" in only
    found = hybrid("trace", worked, "--only", "--json").data
    (boss,) = found["root"]["handlings"]
    assert [sent["type"] for sent in boss["sent"]] == ["work"]


def test_at_a_terminal_it_is_a_waterfall(hybrid, story, monkeypatch):
    story("trace-seen")
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    said = hybrid("trace", "trace-seen")
    assert "━" in said.out
    assert "◆" in said.out


def test_a_failure_says_what_sends_it_back(hybrid):
    hybrid("send", "go", "n=13", "--id", "trace-failed", "--wait")
    said = hybrid("trace", "trace-failed/1/1")
    assert "1 work → worker  failed, attempt 2 by " in said.out
    assert "attempt 1 retried" in said.out
    assert r"ValueError: thirteen \x1b[31mis red" in said.out
    handle = said.out.partition("`hybrid failed retry ")[2].partition("`")[0]
    assert hybrid("failed", "show", handle).code == 0


def test_a_simple_event(hybrid):
    hybrid("send", "ping", "n=1", "--id", "trace-simple", "--wait")
    said = hybrid("trace", "trace-simple")
    assert said.out.startswith("ping trace-simple  ")
    assert "class simple by ping" in said.out


def test_one_that_nobody_has_taken_yet(anywhere, still):
    hybrid = anywhere.at(still)
    hybrid("send", "go", "n=1", "--id", "trace-new")
    assert "front  waiting" in hybrid("trace", "trace-new").out


@pytest.mark.parametrize("id", ["nope", "nope/1/1", "a b", "../x", "*", "{x}", ""])
def test_an_unknown_one(hybrid, id):
    said = hybrid("trace", id)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith(f"error: no message {id}: no flow has this id, nor is it in the settle log, ")
    assert said.err.count("\n") == 1
