"""`hybrid flows`: what is done with many flows, or with some by their ids; with hostile input."""

from __future__ import annotations

import pytest

VERBS = {
    "cancel": [],
    "pause": [],
    "resume": [],
    "retry": [],
    "restart": ["--from", "1"],
    "fix": ["--set", "1.n=2"],
    "signal": ["later"],
}
"""The verbs, and what each needs besides flows."""
UNKNOWN = "no flow nope: it has never existed, or it ended and was forgotten (see retention)"


@pytest.fixture
def shop(anywhere, still):
    """`hybrid` where a worker of its own runs."""
    with still.running():
        yield anywhere.at(still)


@pytest.fixture
def asking(shop):
    """Three flows that wait for the signal `answer`, oldest first."""
    ids = ["ask1", "ask2", "ask3"]
    for n, id in enumerate(ids, 1):
        shop("send", "go", f"n={n}", "note=asks", "--id", id)
    for _ in range(200):
        if len(shop("flows", "list", "--step", "answer", "--json").data) == len(ids):
            return ids
    return pytest.fail("they do not wait")


def results(said):
    """Return what came of each flow, of JSON."""
    return {each["id"]: each["result"] for each in said.data}


class TestChoosing:
    def test_a_query_takes_those_that_match(self, shop, asking):
        signal = ("flows", "signal", "later", "--dry-run", "--json")
        assert list(results(shop(*signal, "--type", "Go"))) == asking
        assert list(results(shop(*signal, "--step", "2", "--where", "n=2"))) == ["ask2"]
        assert list(results(shop(*signal, "--key", "3", "--class", "HARD", "--mediator", "boss"))) == ["ask3"]
        assert list(results(shop(*signal, "--state", "running", "-n", "2"))) == asking[:2]
        assert results(shop(*signal, "--older-than", "1h")) == {}
        assert results(shop(*signal, "--older-than", "0s", "--type", "other")) == {}

    def test_none_is_told_and_is_no_error(self, shop):
        said = shop("flows", "signal", "later", "--type", "go", "--yes")
        assert (said.code, said.out) == (0, "")
        assert said.err == "no flow is so: `hybrid flows list` takes the same options\n"

    def test_many_are_asked_about_with_their_number(self, shop, asking):
        words = ("flows", "signal", "later", "--type", "go")
        said = shop(*words, given=b"n\n")
        assert (said.code, said.out) == (1, "")
        assert said.err == "signal 3 flows? [y/N]\nnothing was changed\n"
        said = shop(*words)
        assert (said.code, said.out) == (2, "")
        assert "nobody answered, and nothing was changed: --yes does it without asking" in said.err
        assert "not taken" not in shop("flows", "show", "ask1").out
        said = shop(*words, given=b"y\n")
        assert said.out == "ask1  signalled\nask2  signalled\nask3  signalled\n"
        assert "3 signalled\n" in said.err
        assert "signal later by " in shop("flows", "show", "ask1").out

    def test_one_is_not_asked_about(self, shop, asking):
        assert shop("flows", "signal", "later", "--key", "2").out == "ask2  signalled\n"
        assert shop("flows", "signal", "ask1", "ask1", "later").out == "ask1  signalled\n"

    def test_some_refused_are_told_with_why_beside_the_others(self, shop, asking):
        said = shop("flows", "signal", "ask1", "nope", "ask2", "later")
        assert said.code == 1
        assert said.out.splitlines() == [
            "ask1  signalled",
            f"nope  refused: {UNKNOWN}",
            "ask2  signalled",
        ]
        assert said.err == "2 signalled, 1 refused\n"

    def test_a_dry_run_changes_nothing(self, shop, asking):
        said = shop("flows", "signal", "answer", "--type", "go", "--dry-run")
        assert (said.code, said.out.count("would be signalled")) == (0, 3)
        assert len(shop("flows", "list", "--step", "answer", "--json").data) == 3


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "say which: IDs, or one or more of --state, --type"),
        (["x", "--type", "go"], "say which: IDs, or one or more of"),
        (["--limit", "3"], "say which: IDs, or one or more of"),
        (["--state", "open"], "--state open: is one of running, "),
        (["--class", "easy"], "--class easy: is one of simple, hard, complex"),
        (["--where", "n"], "--where 'n' is no FIELD=VALUE"),
        (["--where", "nope=1"], "--where nope=1: there is no such field; go has n, note"),
        (["--where", "x.y=1", "--type", "go"], "--where x.y=1: there is no such field"),
        (["--older-than", "soon"], "--older-than 'soon': is how long ago"),
        (["--limit", "0", "--type", "go"], "greater than or equal to 1"),
    ],
)
@pytest.mark.parametrize("verb", list(VERBS))
def test_bad_input(anywhere, still, verb, words, why):
    said = anywhere.at(still)("flows", verb, *words, *VERBS[verb], "--yes")
    assert said.code == 2
    assert why in said.err


@pytest.mark.parametrize("verb", ["list", "show", *VERBS])
def test_each_has_examples(anywhere, verb):
    said = anywhere("flows", verb, "--help")
    assert said.code == 0
    assert f"hybrid flows {verb}" in said.out


def test_options_before_a_verb_are_refused(anywhere, still):
    said = anywhere.at(still)("flows", "--type", "go", "signal", "later")
    assert said.code == 2
    assert "options go behind `signal`, not before it" in said.err


def test_the_list_takes_the_query_with_or_without_its_name(hybrid):
    hybrid("send", "go", "n=77", "--id", "seven", "--wait")
    for words in (("flows",), ("flows", "list")):
        said = hybrid(*words, "--where", "n=77", "--state", "completed", "--json")
        assert [flow["id"] for flow in said.data] == ["seven"]
        assert hybrid(*words, "--key", "77", "--step", "1", "--json").data == []
