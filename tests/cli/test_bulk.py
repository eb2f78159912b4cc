"""`hybrid send` of lines: checked as a whole before the first one is sent."""

import json
import signal

import pytest


def lines(*items):
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def ping(n, **more):
    return {"type": "ping", "data": {"n": n}, **more}


def test_ids_come_in_the_order_of_the_lines(hybrid):
    said = hybrid(
        "send", "-", given=lines(ping(1, id="l-1"), ping(2, id="l-2")) + b"\n\n" + lines(ping(3, id="l-3"))
    )
    assert said.code == 0
    assert said.out.split() == ["l-1", "l-2", "l-3"]
    assert said.err.startswith("3 sent, in ")


def test_a_file(hybrid, tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(*(ping(n) for n in range(1200))))
    said = hybrid("send", "--file", str(path))
    assert said.code == 0
    assert len(set(said.out.split())) == 1200
    assert said.err.startswith("1,200 sent")


def test_duplicates_are_told_and_start_nothing(hybrid):
    said = hybrid("send", "-", "--json", given=lines(ping(1, id="d-1"), ping(2), ping(3, id="d-1")))
    receipts = [json.loads(line) for line in said.out.splitlines()]
    assert [receipt["duplicate"] for receipt in receipts] == [False, False, True]
    assert said.err.startswith("2 sent, 1 had been sent before")


@pytest.mark.parametrize(
    ("note", "code", "says"), [("", 0, "2 completed"), ("refused", 1, "1 refused"), ("broken", 2, "1 failed")]
)
def test_waiting_follows_all_to_their_ends(hybrid, note, code, says):
    given = lines(ping(1), {"type": "go", "data": {"n": 1, "note": note}})
    said = hybrid("send", "-", "--wait", given=given)
    assert said.code == code
    assert says in said.err


def test_a_duplicate_is_not_waited_for(hybrid):
    hybrid("send", "ping", "n=1", "--id", "w-1", "--wait")
    said = hybrid(
        "send",
        "-",
        "--wait",
        "--timeout",
        "5",
        given=lines(ping(1, id="w-1"), ping(2, id="w-2"), ping(2, id="w-2")),
    )
    assert said.code == 0
    assert "1 completed" in said.err


def test_what_has_not_ended_is_counted(hybrid):
    given = lines(ping(1), {"type": "go", "data": {"n": 1, "note": "lost"}})
    said = hybrid("send", "-", "--wait", "--timeout", "0.5", given=given)
    assert said.code == 2
    assert "1 not ended" in said.err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"\xff\xfe\x00", "not UTF-8 text: byte 1 is 0xff"),
        (b"{", "no JSON"),
        (b"[1]", "this is a list"),
        (b"null", "this is null"),
        (b"{}", "the event's name is missing"),
        (b'{"type": 5}', "the event's name is missing"),
        (b'{"type": "go"}', "n: Field required"),
        (b'{"type": "pong", "data": {}}', "did you mean ping?"),
        (b'{"type": "ping", "data": {"n": 1}, "key": 5}', "unknown field 'key'"),
        (b'{"type": "ping", "data": {"n": 1}, "id": 5}', "id: is text, not a number"),
        (b'{"type": "ping", "data": {"n": 1}, "id": "../x"}', "id: takes 1 to 100"),
        (b'{"type": "ping", "data": {"n": "\\ud800"}}', "n: Input should be"),
        (b'{"type": "go", "data": {"n": 1, "note": "\\ud800"}}', "line 2: go"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"type": "go", "data": {"n": 1, "token": [5817]}}', "token: Input should be"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_sent(hybrid, line, says):
    said = hybrid("send", "-", given=lines(ping(1, id="never")) + line + b"\n")
    assert said.code == 2
    assert "nothing was sent: 1 wrong line(s) in stdin" in said.err
    assert "line 2:" in said.err
    assert says in said.err
    assert "5817" not in said.err
    assert said.out == ""
    assert hybrid("flows", "show", "never").code == 2


def test_many_wrong_lines_are_told_in_a_few(hybrid):
    said = hybrid("send", "-", given=b"{\n" * 1000)
    assert "1,000 wrong line(s)" in said.err
    assert said.err.count("\n") == 22
    assert "and 980 more" in said.err


def test_a_huge_line_is_not_read_whole(hybrid, monkeypatch):
    monkeypatch.setenv("HYBRID_MAX_MESSAGE_BYTES", "2000")
    said = hybrid("send", "-", given=b"x" * 10_000_000)
    assert said.code == 2
    assert "line 1: longer than 17,024 bytes" in said.err


@pytest.mark.parametrize("path", ["nope.jsonl", "."])
def test_a_file_that_cannot_be_read(hybrid, path):
    said = hybrid("send", "--file", path)
    assert said.code == 2
    assert said.err.startswith(f"error: {path}: ")


def test_nothing_to_send(hybrid):
    said = hybrid("send", "-", given=b"\n\n")
    assert said.code == 0
    assert "nothing to send" in said.err


def test_an_interrupted_one_says_how_far_it_got(still):
    path = still.directory / "events.jsonl"
    path.write_bytes(lines(*(ping(n) for n in range(60_000))))
    child = still.spawn("send", "--file", str(path))
    ids = [child.stdout.readline()]
    child.send_signal(signal.SIGINT)
    ids += child.stdout.readlines()
    said = child.communicate(timeout=30)[1]
    assert child.returncode == 130
    assert len(ids) < 60_000
    assert f"interrupted: the first {len(ids):,} of 60,000 events are stored" in said
    status = json.loads(still.process("status", "--json").out)
    assert {g["name"]: g["waiting"] for g in status["groups"]}["front"] == len(ids)
