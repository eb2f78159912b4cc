"""`hybrid held`: keys of which something is held, and letting them go."""

import time

import pytest

from hybrid.codec import pack
from hybrid.keys import Keys

ROWS = [("k-bad", "13"), ("k-bad", "1"), ("k-bad", "2"), ("k-fine", "3")]


@pytest.fixture
def desk(anywhere, still, raw):
    """A place whose worker keeps the order of `touch` by a key: two are held behind one that failed."""
    text = (still.directory / f"{still.name}.py").read_text()
    text = text.replace("@worker.on(Touch)", '@worker.on(Touch, ordered_by="who")')
    text = text.replace(
        "class Touch(Command):\n    n: int", "class Touch(Command):\n    n: int\n    who: str"
    )
    text = text.replace(
        "    pass\n\n\n@listener", "    if command.n == 13:\n        raise KeyError('bad')\n\n\n@listener"
    )
    text = text.replace('ordered_by="who")', 'ordered_by="who", retry=RetryPolicy(attempts=1))')
    (still.directory / f"{still.name}.py").write_text(text)
    hybrid, keys = anywhere.at(still), Keys(still.name, "main", 0)
    with still.running():
        for n, (who, number) in enumerate(ROWS):
            entry = {"id": f"m{n}", "type": "touch", "data": pack({"n": int(number), "who": who})}
            raw.xadd(keys.command("touch"), entry)
        deadline = time.monotonic() + 15
        while raw.zcard(keys.held("worker")) < 2 or int(raw.hget(keys.counters, "settled:worker") or 0) < 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield (
            hybrid,
            lambda: raw.zcard(keys.held("worker")),
            lambda name: int(raw.hget(keys.counters, f"{name}:worker") or 0),
        )


def reached(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_list_show_and_release(desk):
    hybrid, held, counted = desk
    (row,) = hybrid("held", "list", "--json").data
    assert row == {
        "component": "worker",
        "channel": "command:touch",
        "key": "k-bad",
        "waiting": 2,
        "behind": "m0",
        "state": "at the desk",
    }
    said = hybrid("held", "show", "k-bad")
    assert said.out.splitlines()[0] == "k-bad of worker: 2 held behind m0, which is at the desk"
    assert [line.split()[0] for line in said.out.splitlines()[1:]] == ["m1", "m2"]
    (shown,) = hybrid("held", "show", "k-bad", "--json").data
    assert [each["data"]["n"] for each in shown["messages"]] == [1, 2]
    assert hybrid("desk", "archive", "m0", "--yes").code == 0
    assert hybrid("held", "list", "--json").data[0]["state"] == "archived"
    assert hybrid("held", "release", "k-bad").out == "k-bad of worker: released, 2 go on\n"
    reached(lambda: held() == 0 and counted("settled") == 3)
    assert "nothing is held" in hybrid("held").err


def test_discard(desk):
    hybrid, held, counted = desk
    asked = hybrid("held", "discard", "k-bad", given=b"n\n")
    assert asked.code == 1 and "Give up 2 messages of k-bad" in asked.err and held() == 2
    assert hybrid("held", "discard", "k-bad").code == 2  # nobody answers
    assert hybrid("held", "discard", "k-bad", "--yes").out == "k-bad: 2 discarded\n"
    assert (held(), counted("discarded")) == (0, 2)


def test_what_is_not_held(hybrid):
    for verb in ("show", "release", "discard"):
        said = hybrid("held", verb, "nobody", *(["--yes"] if verb == "discard" else []))
        assert said.code == 2
        assert "nothing is held of nobody" in said.err
    assert "nothing is held by worker" in hybrid("held", "list", "--component", "worker").err


def test_a_key_that_would_paint_the_terminal_is_shown_and_named_without(desk, still, raw):
    hybrid, held, _ = desk
    for n, number in (("p1", 13), ("p2", 4)):
        entry = {"id": n, "type": "touch", "data": pack({"n": number, "who": "k\x1b[31m\nx"})}
        raw.xadd(Keys(still.name, "main", 0).command("touch"), entry)
    reached(lambda: held() == 3)
    shown = "k\\x1b[31m x"
    assert shown in hybrid("held", "list").out
    said = [hybrid("held", *words) for words in (["show", shown], ["release", "k\x1b[31m\nx"])]
    assert all(each.code == 0 and each.out.startswith(f"{shown} of worker: ") for each in said)
