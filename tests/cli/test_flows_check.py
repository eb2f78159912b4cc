"""`hybrid flows export` and `hybrid flows check`: recorded flows against other code."""

import base64
import json
import os
import stat

import pytest

from hybrid.ids import new_id
from tests.cli.conftest import Place
from tests.conftest import swept


@pytest.fixture(scope="module")
def place(server, tmp_path_factory):
    """A shop of its own in which flows have run: completed, refused, broken, and waiting."""
    place = Place(tmp_path_factory.mktemp("checked"), f"t{new_id()}", server)
    with place.running():
        for n in range(3):
            place.process("send", "go", f"n={n}", "token=q58w17z", "--id", f"done-{n}", "--wait")
        for note in ("refused", "broken"):
            place.process("send", "go", "n=1", f"note={note}", "--id", note, "--wait")
        place.process("send", "go", "n=1", "note=sleeps", "--id", "sleeper")
        place.process("send", "go", "n=1", "--id", "last", "--wait")
    yield place
    assert not swept(server, place.name)


@pytest.fixture
def shop(anywhere, place):
    """`hybrid` there."""
    hybrid = anywhere.at(place)
    hybrid.directory, hybrid.file = place.directory, place.directory / f"{place.name}.py"
    return hybrid


def changed(shop, name, *changes):
    """Write the shop's code with changes beside it; return the file."""
    text = shop.file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (shop.directory / f"{name}.py").write_text(text)
    return f"{name}.py"


MORE = (
    "    await flow.do(Work(n=event.n, token=event.token))\n    return",
    "    await flow.do(Lost(n=1))\n    return",
)


def test_the_same_code_fits(shop):
    said = shop("flows", "check")
    assert (said.code, said.out) == (0, "7 flows: all fit\n")
    assert shop("flows", "check", "--state", "completed", "--limit", "2").out == "2 flows: all fit\n"
    assert shop("flows", "check", "--type", "Ping").out == "0 flows: all fit\n"


def test_other_code_is_told_the_first_step_that_differs(shop):
    said = shop("flows", "check", "--against", changed(shop, "next1", MORE))
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[0] == "boss, go, version 1: step 1: was work, is now lost"
    assert lines[1].startswith("    4 flows: ")
    assert lines[1].endswith(", …")
    assert lines[2:] == ["4 flows of 7 differ"]
    facts = shop("flows", "check", "--against", "next1.py", "--json").data
    assert (facts["checked"], facts["fit"], len(facts["differing"])) == (7, 3, 1)
    (kind,) = facts["differing"]
    assert kind["difference"] == {"step": 1, "was": "work", "now": "lost"}
    assert (kind["flows"], len(kind["examples"])) == (4, 3)


def test_a_change_behind_a_patch_fits(shop):
    patched = (MORE[0], f"    if flow.patched('more'):\n        await flow.do(Lost(n=1))\n{MORE[0]}")
    assert shop("flows", "check", "--against", changed(shop, "next2", patched)).code == 0


def test_a_version_that_is_gone(shop):
    file = changed(shop, "next3", ("@boss.flow(Go)", "@boss.flow(Go, version=2)"))
    said = shop("flows", "check", "--against", file)
    assert said.code == 1
    assert said.out.splitlines() == [
        "boss, go, version 1: at its start: was version 1, is now not registered",
        "    2 flows: sleeper, broken",
        "not checked 5 flows: they ended on version 1 of boss's flow for go, which is gone",
        "2 flows of 2 differ",
    ]


@pytest.mark.parametrize("secrets", [False, True])
def test_exported_and_checked_elsewhere(shop, secrets):
    said = shop("flows", "export", "h.jsonl", *(["--with-secrets"] if secrets else []))
    assert (said.code, said.err) == (0, "7 flows written\n")
    path = shop.directory / "h.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(shop.directory).count(".h.jsonl.part") == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["id"]: line["masked"] for line in lines} == {
        **{f"done-{n}": not secrets for n in range(3)},
        **dict.fromkeys(("refused", "broken", "sleeper", "last"), False),
    }
    # without a store: the address leads nowhere
    elsewhere = ("--redis-url", "redis://127.0.0.1:1", "flows", "check", "--from", "h.jsonl")
    assert shop(*elsewhere).out == "7 flows: all fit\n"
    assert shop(*elsewhere, "--state", "refused").out == "1 flow: all fit\n"
    other = shop(*elsewhere, "--against", changed(shop, f"next4{secrets}", MORE))
    assert (other.code, other.out.splitlines()[-1]) == (1, "4 flows of 7 differ")
    data = changed(shop, f"next5{secrets}", ("Work(n=event.n, token", "Work(n=event.n + 1, token"))
    told = shop(*elsewhere, "--against", data)
    differ = 4 if secrets else 1  # what carries a secret can't be compared
    assert told.out.splitlines()[-1] == f"{differ} flow{'s' if secrets else ''} of 7 differ"


def test_no_secret_leaves_the_store_unasked(shop):
    shop("flows", "export", "h.jsonl")
    for line in (shop.directory / "h.jsonl").read_text().splitlines():
        for value in json.loads(line)["record"].values():
            assert b"q58w17z" not in base64.b64decode(value)
    assert "q58w17z" not in shop("flows", "export", "-").out
    shop("flows", "export", "h.jsonl", "--with-secrets")
    whole = b"".join(
        base64.b64decode(value)
        for line in (shop.directory / "h.jsonl").read_text().splitlines()
        for value in json.loads(line)["record"].values()
    )
    assert b"q58w17z" in whole


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        "{}",
        '{"format": 2}',
        '{"format": 1, "id": "f", "masked": false, "record": {}}',
        '{"format": 1, "id": "f", "masked": false, "record": {"type": "!"}}',
        '{"format": 1, "id": "f", "masked": false, "record": {"step:x": "AA=="}}',
        '{"format": 1, "id": "f", "masked": false, "record": {"outcome": "wQ=="}}',
        '{"format": 1, "id": 7, "masked": 1, "record": {"type": "Zg==", "mediator": "Yg==", "code": "eA=="}}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_none_is_told_with_its_line(hybrid, tmp_path, line):
    path = tmp_path / "h.jsonl"
    path.write_text(f"\n{line}\n")
    said = hybrid("flows", "check", "--from", str(path))
    assert said.code == 2
    assert f"{path}: line 2 is no flow that `hybrid flows export` wrote" in said.err
    assert len(said.err) < 600


def test_what_can_not_be_read_or_written_is_told(hybrid, tmp_path):
    assert "can't be read" in hybrid("flows", "check", "--from", str(tmp_path / "none")).err
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "can't be read" in hybrid("flows", "check", "--from", str(tmp_path / "binary")).err
    assert "can't be read" in hybrid("flows", "check", "--from", str(tmp_path)).err
    assert "can't be written" in hybrid("flows", "export", str(tmp_path / "no" / "such" / "file")).err
    assert "can't be written" in hybrid("flows", "export", str(tmp_path)).err
    assert "no application 'no_such'" in hybrid("flows", "check", "--against", "no_such").err
