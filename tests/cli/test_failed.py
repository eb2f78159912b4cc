"""`hybrid failed`: what no retry could cure."""

import pytest


@pytest.fixture
def failure(hybrid):
    """Return the id of a failed delivery of this flow."""

    def make(id):
        hybrid("send", "go", "n=13", "token=q58w17z", "--id", id, "--wait")
        (found,) = [f for f in hybrid("failed", "list", "--json", "-n", "1000").data if f["flow"] == id]
        return found

    return make


def test_nothing_has_failed(anywhere, still):
    said = anywhere.at(still)("failed")
    assert (said.code, said.out) == (0, "")
    assert "nothing has failed" in said.err
    assert anywhere("failed", "list", "--json").data == []


def test_the_list_tells_which_where_and_why(hybrid, failure):
    found = failure("f-list")
    assert {name: found[name] for name in ("component", "handler", "type", "step", "error", "attempts")} == {
        "component": "worker",
        "handler": "worker.work",
        "type": "work",
        "step": 1,
        "error": "ValueError",
        "attempts": 2,
    }
    assert found["data"] == {"n": 13, "token": "**********"}
    assert "traceback" not in found
    text = hybrid("failed", "list", "-n", "1000").out
    assert found["id"] in text
    assert "\x1b" not in text


def test_it_is_filtered_and_limited(hybrid, failure):
    failure("f-filter-1")
    failure("f-filter-2")
    assert hybrid("failed", "list", "--type", "ping", "--json").data == []
    assert hybrid("failed", "list", "--component", "listener", "--json").data == []
    assert {f["type"] for f in hybrid("failed", "list", "--type", "Work", "--json").data} == {"work"}
    said = hybrid("failed", "list", "-n", "1")
    assert len(said.out.splitlines()) == 2
    assert "older ones (--limit)" in said.err


@pytest.mark.parametrize("by", ["id", "entry", "message", "flow"])
def test_one_is_shown_whole_by_any_of_its_names(hybrid, failure, by):
    found = failure(f"f-show-{by}")
    name = found["id"].partition("/")[2] if by == "entry" else found[by]
    (shown,) = hybrid("failed", "show", name, "--json").data
    assert shown["id"] == found["id"]
    assert "ValueError" in shown["traceback"]
    text = hybrid("failed", "show", name).out
    assert "Traceback" in text
    assert "q58w17z" not in text


def test_an_unknown_one(hybrid):
    for words in (["show", "nope"], ["retry", "nope"], ["retry", ""]):
        said = hybrid("failed", *words)
        assert said.code == 2
        assert said.err.startswith("error: ")


def test_a_retry_goes_back_and_fails_anew(hybrid, failure):
    found = failure("f-retry")
    said = hybrid("failed", "retry", found["id"])
    assert said.code == 0
    assert said.out == f"{found['id']}  sent back\n"
    assert hybrid("failed", "retry", found["id"]).code == 2


def test_retry_by_type(hybrid, failure):
    failure("f-type")
    results = hybrid("failed", "retry", "--type", "work", "--json").data
    assert {result["result"] for result in results} == {"sent back"}


def test_everything_goes_back_and_ends_well(hybrid, failure, place):
    failure("f-all")
    (place.directory / "mended").touch()
    try:
        assert hybrid("failed", "retry", "--all").code == 0
        assert hybrid("send", "go", "n=13", "--id", "f-all", "--wait").code == 0
    finally:
        (place.directory / "mended").unlink()


def test_retrying_nothing_is_fine(anywhere, still):
    said = anywhere.at(still)("failed", "retry", "--all")
    assert said.code == 0
    assert "0 sent back" in said.err
