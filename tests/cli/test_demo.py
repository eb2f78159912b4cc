"""`hybrid demo`: the whole bookstore, with the known answers."""

import json

import pytest

from cli.demo.answers import differences, percentiles


@pytest.mark.timeout(90)
def test_it_ends_by_itself_with_the_known_answers(still):
    said = still.process("demo", "--keep", "kept", "--json")
    facts = json.loads(said.out)
    assert facts["checks"] == {name: [] for name in facts["checks"]}
    assert len(facts["checks"]) == 4
    assert said.code == 0
    assert facts["seconds"] < 30
    assert facts["outcomes"] == {"completed": 283, "refused": 21, "cancelled": 1}
    assert list((still.directory / "kept" / "outbox").glob("*.eml"))
    said = still.process("demo", "--keep", "kept")
    assert said.code == 2
    assert "not empty" in said.err


def test_differences_are_told_with_their_place():
    expected = {"a": {"x": 1, "y": 2}, "b": 3}
    assert differences(expected, expected) == []
    assert differences(expected, {"a": {"x": 1, "y": 5}, "c": 1}) == [
        "a.y: expected 2, found 5",
        "b: expected 3, found None",
        "c: expected None, found 1",
    ]


def test_percentiles():
    assert percentiles([]) == (0, 0)
    assert percentiles([5]) == (5, 5)
    assert percentiles(list(range(1, 101))) == (51, 100)
