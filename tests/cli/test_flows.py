"""`hybrid flows`: the list, and one flow's timeline."""

import pytest


def test_none_yet_says_what_to_do(anywhere, still):
    said = anywhere.at(still)("flows")
    assert said.code == 0
    assert said.out == ""
    assert "`hybrid send" in said.err


def test_an_empty_list_is_json_too(anywhere, still):
    assert anywhere.at(still)("flows", "list", "--json").data == []


def test_they_are_listed_by_state(hybrid):
    hybrid("send", "go", "n=1", "--id", "list-done", "--wait")
    hybrid("send", "go", "n=1", "note=refused", "--id", "list-refused", "--wait")
    hybrid("send", "go", "n=1", "note=broken", "--id", "list-broken", "--wait")
    hybrid("send", "go", "n=1", "note=lost", "--id", "list-lost", "--wait", "--timeout", "0.2")

    def ids(*words):
        return {flow["id"] for flow in hybrid("flows", "list", "--json", "--limit", "1000", *words).data}

    everything = {"list-done", "list-refused", "list-broken", "list-lost"}
    assert ids() >= everything
    assert ids("--state", "completed") & everything == {"list-done"}
    assert ids("--state", "refused") & everything == {"list-refused"}
    assert ids("--state", "failed") & everything == {"list-broken"}
    assert ids("--state", "running") & everything == {"list-lost"}
    assert ids("--type", "Go") >= everything
    assert ids("--type", "other") == set()


def test_each_is_one_plain_line_when_nobody_looks(hybrid):
    hybrid("send", "go", "n=1", "--id", "plain", "--wait")
    header, *lines = hybrid("flows", "list", "--limit", "1000").out.splitlines()
    assert header.startswith("FLOW  ")
    assert header.split()[:8] == ["FLOW", "STATE", "EVENT", "CLASS", "MEDIATOR", "STEP", "AGE", "TOOK"]
    (line,) = (line for line in lines if line.startswith("plain "))
    assert line.split()[1:6] == ["completed", "go", "hard", "boss", "1"]


def test_the_limit_limits(hybrid):
    for n in range(3):
        hybrid("send", "go", f"n={n}", "--wait")
    assert len(hybrid("flows", "list", "-n", "2", "--json").data) == 2


def test_the_timeline_of_a_completed_flow(hybrid):
    hybrid("send", "go", "n=5", "token=q58w17z", "--id", "whole", "--wait")
    said = hybrid("flows", "show", "whole")
    for text in (
        "completed",
        "class hard by rule by_habit: it always was",
        "carried out by boss, version 1, run 1",
        '"token": "**********"',
        "step 1  work → worker",
        "acknowledged by",
        'worked {"n": 5}',
        'completed: ended {"n": 5}',
    ):
        assert text in said.out
    assert "q58w17z" not in said.out


def test_it_tells_who_listened(hybrid):
    hybrid("send", "go", "n=6", "--id", "heard", "--wait")
    for _ in range(100):
        log = hybrid("flows", "show", "heard", "--json").data["log"]
        if any(line["component"] == "listener" for line in log):
            return
    pytest.fail(f"the listener is not there: {log}")


def test_the_timeline_of_one_that_failed_and_went_on(hybrid, place):
    hybrid("send", "go", "n=13", "--id", "mended", "--wait")
    step = hybrid("flows", "show", "mended", "--json").data["steps"][0]
    assert (step["state"], step["attempts"], step["processor"]) == ("failed", 2, "worker")
    text = hybrid("flows", "show", "mended").out
    assert "attempt 1: retried by" in text
    assert "hybrid failed retry" in text
    assert "\x1b" not in text
    (place.directory / "mended").touch()
    try:
        assert hybrid("failed", "retry", "mended").code == 0
        assert hybrid("send", "go", "n=13", "--id", "mended", "--wait").code == 0
    finally:
        (place.directory / "mended").unlink()
    view = hybrid("flows", "show", "mended", "--json").data
    assert view["summary"]["state"] == "completed"
    assert view["steps"][0]["state"] == "acknowledged"


def test_a_simple_event_is_told_by_the_log(hybrid):
    hybrid("send", "ping", "n=1", "--id", "simple", "--wait")
    view = hybrid("flows", "show", "simple", "--json").data
    assert view["summary"]["event_class"] == "simple"
    assert view["rule"] == "ping"
    assert "classified" in hybrid("flows", "show", "simple").out


@pytest.mark.parametrize("id", ["nope", "a b", "../x", "*", "{x}"])
def test_an_unknown_one(hybrid, id):
    said = hybrid("flows", "show", id)
    assert said.code == 2
    assert (
        said.err
        == f"error: no flow {id}: it has never existed, or it ended and was forgotten (see retention)\n"
    )


def test_a_signal_is_given_once_and_told(hybrid):
    hybrid("send", "go", "n=1", "note=asks", "--id", "asks")
    for _ in range(100):
        if "signal answer" in hybrid("flows", "show", "asks").out:
            break
    assert hybrid("flows", "signal", "asks", "later", "--id", "s0", "--as", "bob").out == "asks  signalled\n"
    words = ("flows", "signal", "asks", "answer", "--data", '{"n": 7}', "--as", "ann", "--id", "s1")
    assert hybrid(*words, "--json").data == [{"id": "asks", "result": "signalled", "why": ""}]
    assert hybrid(*words).out == "asks  already signalled\n"
    for _ in range(100):
        said = hybrid("flows", "show", "asks").out
        if "completed" in said:
            break
    for text in (
        "step 1  sleep 0.01 s\n",
        "slept for ",
        "step 2  signal answer\n",
        "signalled by ann in ",
        '→ {"n": 7}',
        "signal later by bob, not taken\n",
        'completed: ended {"n": 7}',
    ):
        assert text in said


def test_a_signal_is_refused_with_the_reason(hybrid):
    hybrid("send", "go", "n=1", "--id", "over", "--wait")
    for words, text in (
        (("over", "answer"), "flow over has ended (completed): nothing more can be done with it"),
        (("nobody", "answer"), "no flow nobody"),
        (("over", "No"), "'No' is no name for a signal"),
        (("over", "answer", "--data", "[1]"), "--data: is a JSON object, no list"),
        (("over", "answer", "--data", "{"), "--data: no JSON"),
    ):
        said = hybrid("flows", "signal", *words)
        assert said.code != 0
        assert text in said.out + said.err


def test_a_flow_that_sleeps_is_told(hybrid):
    hybrid("send", "go", "n=1", "note=sleeps", "--id", "sleeps")
    for _ in range(100):
        said = hybrid("flows", "show", "sleeps").out
        if "step 1" in said:
            break
    assert "sleeping until " in said


@pytest.mark.parametrize(
    ("note", "n", "why"),
    [
        (
            "lost",
            1,
            "why  step 1: it waits for somebody (no processor of this application handles it) to do lost",
        ),
        ("sleeps", 1, "why  step 1: it sleeps, until "),
        ("asks", 1, "why  step 2: it waits for the signal answer\n"),
        ("broken", 1, "why  it waits at the desk: ZeroDivisionError: the flow is broken"),
        ("", 13, "why  step 1: work waits at the desk: ValueError: thirteen \\x1b[31mis red\n"),
    ],
)
def test_why_it_does_not_go_on(hybrid, note, n, why):
    id = f"why-{note}-{n}"
    hybrid("send", "go", f"n={n}", f"note={note}", "--id", id)
    for _ in range(200):
        said = hybrid("flows", "show", id).out
        if why in said:
            return
    pytest.fail(said)


def test_one_that_has_ended_needs_no_reason(hybrid):
    hybrid("send", "go", "n=1", "--id", "reasonless", "--wait")
    assert "  why  " not in hybrid("flows", "show", "reasonless").out
    assert hybrid("flows", "show", "reasonless", "--json").data["reasons"] == []
