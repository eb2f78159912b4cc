"""`hybrid groups`: who has read how far; replay to one group, and removing one."""

import re

import pytest


@pytest.fixture
def heard(hybrid):
    """Let the listener hear something; return its group."""
    hybrid("send", "go", "n=1", "--wait")

    def group():
        (found,) = [each for each in hybrid("groups", "list", "--json").data if each["group"] == "listener"]
        return found

    while group()["waiting"] + group()["pending"]:
        pass
    return group()


def settled(place, raw):
    """Return what the listener has settled."""
    (counters,) = raw.keys(f"{{{place.name}.main.0}}:counters")
    return int(raw.hget(counters, "settled:listener"))


def test_there_are_none_yet(anywhere, still):
    said = anywhere.at(still)("groups")
    assert (said.code, said.out) == (0, "")
    assert "no groups yet" in said.err
    assert anywhere("groups", "list", "--json").data == []


def test_the_list_tells_how_far_each_is(hybrid, heard):
    assert (heard["topic"], heard["state"], heard["retired"], heard["registered"]) == (
        "worked", "live", False, True,
    )  # fmt: skip
    assert len(heard["consumers"]) == 1
    text = hybrid("groups").out
    assert re.search(rf"worked +listener +live +0 +0 +1 +{heard['position']} +yes", text)
    assert hybrid("groups", "list", "--topic", "Ended", "--json").data == []


def test_one_is_shown(hybrid, heard):
    text = hybrid("groups", "show", "listener").out
    assert "listener of worked" in text
    assert heard["consumers"][0] in text
    assert "the application listens to this topic under this name" in text
    assert hybrid("groups", "show", "listener", "--json").data == [heard]


@pytest.mark.parametrize("words", [["show"], ["reset", "--to", "now", "--yes"], ["remove", "--yes"]])
def test_one_that_is_not_there(hybrid, heard, words):
    said = hybrid("groups", words[0], "nobody", *words[1:])
    assert (said.code, said.out) == (2, "")
    assert "no group nobody: there are listener (`hybrid groups list`)" in said.err


def test_a_reset_asks_and_replays(hybrid, heard, place, raw):
    before = settled(place, raw)
    said = hybrid("groups", "reset", "listener", "--to", "beginning", given=b"n\n")
    assert said.code == 1
    many = int(re.search(r"listener of worked: ([\d,]+) deliveries come again", said.err)[1].replace(",", ""))
    assert "nothing was changed" in said.err
    assert settled(place, raw) == before
    said = hybrid("groups", "reset", "listener", "--to", "beginning", given=b"y\n")
    assert said.code == 0, said.err
    assert f"{many} deliveries come again; it goes on after 0-0" in said.out
    while settled(place, raw) < before + many:
        pass
    assert hybrid("status", "--check").code == 0


def test_a_reset_takes_a_time_and_tells_what_it_did(hybrid, heard, place, raw):
    before = settled(place, raw)
    (done,) = hybrid("groups", "reset", "listener", "--to", "1h-ago", "--yes", "--json").data
    assert done["replayed"] >= 1
    while settled(place, raw) < before + done["replayed"]:
        pass
    said = hybrid("groups", "reset", "listener", "--topic", "Worked", "--to", "now", "--yes")
    assert "nothing changes" in said.out


def test_without_an_answer_nothing_is_changed(hybrid, heard):
    said = hybrid("groups", "reset", "listener", "--to", "beginning")
    assert said.code == 2
    assert "nobody answered, and nothing was changed: --yes does it without asking" in said.err


def test_a_wrong_place_is_told(hybrid, heard):
    said = hybrid("groups", "reset", "listener", "--to", "yesterday", "--yes")
    assert said.code == 2
    assert "--to 'yesterday': is" in said.err


def test_a_served_group_is_not_removed(hybrid, heard):
    said = hybrid("groups", "remove", "listener", "--yes")
    assert said.code == 2
    assert f"is served by {heard['consumers'][0]}: stop that first" in said.err


def test_a_retired_group_is_removed(anywhere, still):
    hybrid = anywhere.at(still)
    with still.running():
        assert hybrid("send", "go", "n=1", "--wait").code == 0
    file = still.directory / f"{still.name}.py"
    text = file.read_text()
    file.write_text(text[: text.index("@listener.on")].replace('listener = Processor("listener")\n', ""))
    assert "retired" in still.process("groups").out
    said = still.process("groups", "remove", "listener", given="y\n")
    assert said.code == 0, said.err
    assert "listener of worked: 0 waiting, 0 in work, never to be had" in said.err
    assert said.out == "listener of worked: removed, with 0 waiting and 0 in work\n"
    assert still.process("groups", "list", "--json").data == []
    status = still.process("status", "--json")
    assert "listener" not in status.out
