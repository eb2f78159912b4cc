"""`hybrid publish`: an event on its topic, past the mediators."""

import pytest


def test_who_listens_hears_it_and_nobody_is_started(anywhere, still):
    hybrid = anywhere.at(still)
    said = hybrid("publish", "ended", "n=7", "--id", "mine")
    assert (said.code, said.out) == (0, "mine\n")
    again = hybrid("publish", "Ended", "--data", '{"n": 7}', "--id", "mine")
    assert (again.code, again.out) == (0, "mine  (published before)\n")
    assert hybrid("flows", "list", "--json").data == []
    (line, *_) = hybrid("trace", "mine").out.splitlines()
    assert line.startswith("ended mine")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["no-such", "n=1"], "no message is called"),
        (["ended", "n=x"], "ended is not valid: n"),
        (["ended", "n=1", "--data", "{}"], "not both"),
        (["ended", "n"], "no key=value"),
        (["work", "n=1"], "is a command, and only events are broadcast"),
        (["ended", "n=1", "--id", "a/b"], "id"),
        (["ended", "n=1", "--in", "soon"], "--in"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_stored(hybrid, words, says):
    said = hybrid("publish", *words)
    assert said.code == 2
    assert says in said.err
    assert "Traceback" not in said.err
