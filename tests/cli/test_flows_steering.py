"""`hybrid flows cancel`, `pause`, `resume`, `retry`, `restart`, `fix`, from the command line."""

from __future__ import annotations

import pytest

REASON = "Prüfung \u2713 \x1b[31m"
ENDED = "flow over has ended (completed): nothing more can be done with it"


@pytest.fixture
def shop(anywhere, still):
    """`hybrid` where a worker of its own runs."""
    with still.running():
        yield anywhere.at(still)


@pytest.fixture
def asks(shop):
    """Send flows that wait for the signal `answer`, and wait until they do."""

    def send(*ids):
        for n, id in enumerate(ids, 1):
            shop("send", "go", f"n={n}", "note=asks", "--id", id)
        until(shop, lambda: len(shop("flows", "list", "--step", "answer", "--json").data) == len(ids))

    return send


def until(shop, met):
    """Look until something is so."""
    for _ in range(300):
        if met():
            return
    pytest.fail(shop("flows", "list").out)


def state(shop, id):
    return shop("flows", "show", id, "--json").data["summary"]["state"]


def deeds(shop, id):
    return [
        (each["what"], each["who"], each["why"]) for each in shop("flows", "show", id, "--json").data["deeds"]
    ]


def test_cancelled_with_the_reason_in_its_history(shop, asks):
    asks("ask")
    said = shop("flows", "cancel", "ask", "--as", "ann", "--reason", REASON)
    assert (said.code, said.out) == (0, "ask  cancelled\n")
    assert state(shop, "ask") == "cancelled"
    assert deeds(shop, "ask") == [("cancel", "ann", REASON)]
    text = shop("flows", "show", "ask").out
    assert "asked to be cancelled by ann: Prüfung ✓ \\x1b[31m\n" in text
    assert " cancelled by ann: Prüfung ✓ \\x1b[31m\n" in text
    assert "not awaited any more" in text
    assert "\x1b" not in text + shop("flows", "list").out
    again = shop("flows", "cancel", "ask")
    assert (again.code, again.out) == (0, "ask  already cancelled\n")
    assert [flow["id"] for flow in shop("flows", "list", "--state", "cancelled", "--json").data] == ["ask"]


def test_paused_ones_keep_what_comes_and_go_on_when_resumed(shop, asks):
    asks("one", "two")
    assert shop("flows", "pause", "--type", "go", "--yes", "--as", "ann").out == "one  paused\ntwo  paused\n"
    assert state(shop, "one") == "paused"
    shop("flows", "signal", "one", "answer")
    said = shop("flows", "show", "one").out
    assert "paused by ann\n" in said
    assert "  why  it is paused by ann\n" in said
    said = shop("flows", "pause", "one")
    assert (said.code, said.out) == (1, "one  refused: flow one is paused already, by ann\n")
    assert shop("flows", "resume", "--state", "paused", "--key", "1").out == "one  resumed\n"
    until(shop, lambda: state(shop, "one") == "completed")
    assert state(shop, "two") == "paused"
    assert [what for what, *_ in deeds(shop, "one")] == ["pause", "resume"]


def test_a_rule_holds_those_to_come_too(shop, asks):
    asks("before")
    said = shop("flows", "pause", "--all-of-type", "Go", given=b"n\n")
    assert (
        said.err
        == "pause all flows of type go: 1 that go on, and those to come? [y/N]\nnothing was changed\n"
    )
    assert said.code == 1
    assert shop("flows", "pause", "--all-of-type", "Go", "--dry-run").out == "type:go  would be paused\n"
    assert shop("flows", "pause", "--all-of-type", "Go", "--yes", "--as", "ann").out == "type:go  paused\n"
    shop("send", "go", "n=7", "--id", "after")
    until(shop, lambda: "paused with all flows of type go by ann" in shop("flows", "show", "after").out)
    assert shop("flows", "resume", "after").code == 1
    assert shop("flows", "resume", "--all-of-type", "go", "--yes").code == 0
    until(shop, lambda: state(shop, "after") == "completed")
    assert shop("flows", "resume", "--all-of-key", "7", "--yes").code == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--all-of-type", "go", "x"], "stand alone"),
        (["--all-of-type", "go", "--all-of-key", "1"], "stand alone"),
        (["--all-of-key", "1", "--state", "running"], "stand alone"),
        (["--all-of-type", "Gone"], "--all-of-type Gone: is one of go"),
        (["--all-of-type", "Ping"], "--all-of-type Ping: is one of go"),
        (["--all-of-key", "1"], "nobody answered, and nothing was changed"),
    ],
)
def test_rules_that_are_none(anywhere, still, words, why):
    said = anywhere.at(still)("flows", "pause", *words)
    assert said.code == 2
    assert why in said.err


def test_many_failed_ones_are_retried(shop, still):
    for n in range(3):
        shop("send", "go", "n=13", "--id", f"f{n}", "--wait")
    shop("send", "go", "n=1", "--id", "over", "--wait")
    said = shop("flows", "retry", "--state", "failed", "--dry-run", "--json")
    assert [each["result"] for each in said.data] == ["would be retried"] * 3
    (still.directory / "mended").touch()
    said = shop("flows", "retry", "--state", "failed", "--step", "work", "--yes", "--as", "ann")
    assert (said.code, said.out.count("  retried\n")) == (0, 3)
    until(shop, lambda: {state(shop, f"f{n}") for n in range(3)} == {"completed"})
    assert deeds(shop, "f1") == [("retry", "ann", "")]
    assert "retried step 1 by ann\n" in shop("flows", "show", "f1").out
    assert shop("flows", "retry", "f1").out == "f1  refused: flow f1 has nothing at the desk\n"


def test_a_fixed_result_is_used_when_it_is_restarted(shop, still):
    shop("send", "go", "n=5", "--id", "over", "--wait")
    said = shop("flows", "fix", "over", "--set", "1.n=6", "--reason", "it was six")
    assert (said.code, said.out) == (0, "over  fixed\n")
    assert shop("flows", "restart", "over", "--from", "1", "--dry-run").out == "over  would be restarted\n"
    assert shop("flows", "show", "over", "--json").data["run"] == 1
    assert shop("flows", "restart", "--state", "completed", "--from", "1").out == "over  restarted\n"
    until(shop, lambda: state(shop, "over") == "completed")
    view = shop("flows", "show", "over", "--json").data
    assert (view["run"], view["runs"], view["steps"][0]["data"]) == (2, [1, 2], {"n": 5})
    text = shop("flows", "show", "over").out
    assert "run 1 is kept: `hybrid flows show over --run 1`\n" in text
    assert "restarted from step 1 by " in text
    before = shop("flows", "show", "over", "--run", "1")
    assert "run 2 took the place of this one" in before.out
    assert 'worked {"n": 6}' in before.out
    assert "no flow over, run 3" in shop("flows", "show", "over", "--run", "3").err


def test_those_that_have_ended_are_restarted_only_when_a_state_says_so(shop):
    shop("send", "go", "n=5", "--id", "over", "--wait")
    said = shop("flows", "restart", "--type", "go", "--from", "1", "--yes")
    assert (said.code, said.out) == (0, "")
    assert shop("flows", "show", "over", "--json").data["run"] == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["cancel", "over"], ENDED),
        (["cancel", "over", "--now"], ENDED),
        (["pause", "over"], ENDED),
        (["resume", "over"], ENDED),
        (["retry", "over"], "flow over has nothing at the desk"),
        (["restart", "over", "--from", "9"], "flow over has no step 9: its steps are 1 to 1"),
        (["fix", "over", "--set", "9.n=1"], "flow over has no result of step 9 to fix"),
        (
            ["fix", "over", "--set", "1.m=1"],
            "flow over has no field m in the result of step 1; its fields: n",
        ),
        (["fix", "over", "--set", "1.n=one"], "worked is not valid: n: Input should be a valid integer"),
        (["fix", "over", "--set", "1.n.x=1"], "flow over has no field n.x in the result of step 1"),
    ],
)
def test_what_can_not_be_done_is_refused_with_why(hybrid, words, why):
    hybrid("send", "go", "n=1", "--id", "over", "--wait")
    for more in ((), ("--dry-run",)):
        said = hybrid("flows", *words, *more)
        assert said.code == 1
        assert said.out.startswith(f"over  refused: {why}")


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry", "restart", "fix"])
@pytest.mark.parametrize("id", ["nope", "a b", "../x", "*", "{x}", "é\u2713", "-"])
def test_unknown_ones_are_refused(hybrid, verb, id):
    more = {"restart": ["--from", "1"], "fix": ["--set", "1.n=1"]}.get(verb, [])
    said = hybrid("flows", verb, id, *more)
    assert said.code == 1
    assert said.out.startswith(f"{id}  refused: no flow {id}: ")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["restart", "x"], "Missing option '--from'"),
        (["restart", "x", "--from", "0"], "greater than or equal to 1"),
        (["restart", "x", "--from", "two"], "'--from'"),
        (["restart", "x", "--from", "1", "--version", "-1"], "greater than or equal to 0"),
        (["fix", "x"], "Missing option '--set'"),
        (["fix", "x", "--set", "n=1"], "--set n: is STEP.FIELD=VALUE"),
        (["fix", "x", "--set", "0.n=1"], "--set 0.n: is STEP.FIELD=VALUE"),
        (["fix", "x", "--set", f"{'9' * 5000}.n=1"], "is STEP.FIELD=VALUE"),
        (["fix", "x", "--set", "1.=1"], "--set 1.: is STEP.FIELD=VALUE"),
        (["fix", "x", "--set", "1.n:={"], "no JSON"),
        (["fix", "x", "--set", "1"], "'1' is no key=value"),
    ],
)
def test_bad_input(anywhere, still, words, why):
    said = anywhere.at(still)("flows", *words)
    assert said.code == 2
    assert why in said.err
