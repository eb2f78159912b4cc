"""`hybrid subscribe`: commands of other languages as subscribers, in real processes."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.commands.subscribe import group_name
from cli.feeding import CommandEnded, checked_command
from hybrid.errors import SettingsError
from tests.cli.conftest import PATIENCE
from tests.cli.test_run import until


@contextmanager
def subscribed(place, *words):
    """Run `hybrid subscribe worked` until it is ready; end it gracefully."""
    child = place.spawn("subscribe", "worked", *words)
    try:
        line = child.stdout.readline()
        assert line.startswith("group: "), child.communicate(timeout=5)
        child.group = line.split()[1]
        assert "ready: " in child.stdout.readline()
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        child.out, child.err = child.communicate(timeout=PATIENCE)


def send(place, *numbers):
    """Have `worked` broadcast for each number."""
    lines = "".join(f'{{"type": "go", "data": {{"n": {n}}}}}\n' for n in numbers)
    said = place.process("send", "-", "--wait", given=lines)
    assert said.code == 0, said.err


def lines(place, name="heard"):
    path = place.directory / name
    return path.read_text().splitlines() if path.exists() else []


def heard(place):
    return [json.loads(line)["data"]["n"] for line in lines(place)]


def failures(place):
    return json.loads(place.process("failed", "list", "--json").out)


@pytest.fixture
def shop(still):
    """A shop that runs."""
    with still.running():
        yield still


def test_history_and_then_live_one_process_for_each_event(shop):
    send(shop, 1, 2)
    with subscribed(shop, "--exec", "cat >> heard; echo x >> processes"):
        until(lambda: heard(shop) == [1, 2])
        send(shop, 3)
        until(lambda: heard(shop) == [1, 2, 3])
    assert len(lines(shop, "processes")) == 3
    event = json.loads(lines(shop)[0])
    assert event["specversion"] == "1.0"
    assert event["type"] == "worked"
    assert {"id", "source", "time"} <= event.keys()


def test_only_what_comes_from_now_on(shop):
    send(shop, 1)
    with subscribed(shop, "--start", "now", "--exec", "cat >> heard"):
        send(shop, 2)
        until(lambda: heard(shop) == [2])


def test_the_group_keeps_its_place(shop):
    send(shop, 1)
    with subscribed(shop, "--exec", "cat >> heard") as first:
        until(lambda: heard(shop) == [1])
    assert first.returncode == 0
    send(shop, 2)
    with subscribed(shop, "--exec", "cat >> heard") as second:
        until(lambda: heard(shop) == [1, 2])
    assert first.group == second.group


def test_a_batch_is_lines_for_one_process(shop):
    send(shop, *range(20, 40))
    note = 'wc -l > "$(mktemp sizes.XXXXXX)"'
    with subscribed(shop, "--batch", "8", "--exec", f"tee -a heard | {note}"):
        until(lambda: sorted(heard(shop)) == list(range(20, 40)))
    sizes = [int(path.read_text()) for path in shop.directory.glob("sizes.*")]
    assert sum(sizes) == 20
    assert max(sizes) <= 8
    assert len(sizes) < 12


def test_what_a_process_knows_from_its_environment(shop):
    send(shop, 1)
    with subscribed(shop, "--exec", 'cat >> heard; echo "$HYBRID_TYPE $HYBRID_ID $HYBRID_ATTEMPT" >> facts'):
        until(lambda: lines(shop, "facts"))
    assert lines(shop, "facts") == [f"worked {json.loads(lines(shop)[0])['id']} 1"]


def test_it_is_tried_again_and_acknowledged_when_it_works(shop):
    send(shop, 1)
    program = 'echo "$HYBRID_ATTEMPT" >> attempts; test "$HYBRID_ATTEMPT" = 2 && cat >> heard'
    with subscribed(shop, "--exec", program):
        until(lambda: heard(shop) == [1])
    assert lines(shop, "attempts") == ["1", "2"]
    assert failures(shop) == []


def test_what_no_attempt_cures_is_a_failure_with_its_stderr(shop):
    send(shop, 1)
    program = 'echo x >> attempts; seq 2000 >&2; echo "no such account" >&2; exit 3'
    with subscribed(shop, "--group", "audit", "--exec", program):
        until(lambda: failures(shop))
    assert len(lines(shop, "attempts")) == 3
    (failure,) = failures(shop)
    assert (failure["component"], failure["error"], failure["attempts"]) == ("audit", "CommandEnded", 3)
    assert "ended with exit code 3" in failure["reason"]
    assert failure["reason"].endswith("no such account")
    assert 4000 < len(failure["reason"]) < 4400
    shown = shop.process("failed", "show", failure["id"])
    assert "no such account" in shown.out


def test_a_batch_fails_as_a_whole(shop):
    send(shop, *range(5))
    with subscribed(shop, "--group", "audit", "--batch", "5", "--exec", "cat > /dev/null; false"):
        until(lambda: len(failures(shop)) == 5)


def test_a_command_that_reads_nothing(shop):
    send(shop, 1, 2)
    with subscribed(shop, "--exec", "echo x >> done"):
        until(lambda: len(lines(shop, "done")) == 2)
    assert failures(shop) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_process_may_end(shop, number):
    send(shop, 1)
    program = "echo x > begun; until test -e go; do sleep 0.05; done; cat >> heard"
    with subscribed(shop, "--exec", program) as child:
        until(lambda: lines(shop, "begun"))
        child.send_signal(number)
        until(lambda: "stopping" in child.stderr.readline())
        (shop.directory / "go").touch()
        child.wait(PATIENCE)
    assert child.returncode == 0
    assert heard(shop) == [1]
    status = json.loads(shop.process("status", "--json").out)
    (group,) = [each for each in status["ledger"]["groups"] if each["group"] == child.group]
    assert (group["settled"], group["missing"]) == (1, 0)


def test_one_that_does_not_end_is_killed_and_its_event_comes_again(shop):
    send(shop, 1)
    shop.env["HYBRID_STOP_MS"] = "300"
    with subscribed(shop, "--exec", "echo $$ > begun; sleep 1000; echo never") as child:
        until(lambda: lines(shop, "begun"))
    assert "is killed" in child.err
    (pid,) = lines(shop, "begun")
    until(lambda: not Path(f"/proc/{pid}").exists())
    with subscribed(shop, "--group", child.group, "--exec", "cat >> heard"):
        until(lambda: heard(shop) == [1])


def test_more_processes_at_the_same_time(shop):
    send(shop, 1, 2)
    meet = 'touch "met.$HYBRID_ID"; until test "$(ls met.* | wc -l)" = 2; do sleep 0.05; done; cat >> heard'
    with subscribed(shop, "--processes", "2", "--exec", meet):
        until(lambda: sorted(heard(shop)) == [1, 2])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("wrked", "--exec", "cat"), "no message is called 'wrked'; did you mean worked"),
        (("work", "--exec", "cat"), "work is a command, which goes to the one processor that handles it"),
        (("worked", "--exec", "no-such-program -v"), "there is no command no-such-program"),
        (("worked", "--exec", "./no-such-file"), "there is no command ./no-such-file"),
        (("worked", "--exec", "if true; then"), "the shell can't read it"),
        (("worked", "--exec", "cat", "--group", "listener"), "a component of"),
        (("worked", "--exec", "cat", "--group", "Not a name"), "is no name for a component"),
        (("worked", "--exec", "cat", "--start", "whenever"), "--start 'whenever'"),
        (("worked",), "--exec"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_it_starts(anywhere, still, words, reason):
    said = anywhere.at(still)("subscribe", *words)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert reason in said.err
    assert said.err.count("\n") == 1


def test_an_initiating_event_is_no_broadcast(still):
    child = still.spawn("subscribe", "go", "--exec", "cat")
    assert child.stdout.readline().startswith("group: exec-cat-")
    assert "ready" in child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=PATIENCE)
    assert "note: go is an initiating event: it goes to front" in err


def test_the_name_of_a_group_says_the_command_and_holds_for_it_and_the_types_alone():
    assert re.fullmatch(r"exec-jq-[0-9a-f]{8}", group_name("jq -c .data", ["a"]))
    assert re.fullmatch(r"exec-audit-sh-[0-9a-f]{8}", group_name("./bin/Audit.sh", ["a"]))
    assert re.fullmatch(r"exec-[0-9a-f]{8}", group_name("(cat; true)", ["a"]))
    assert group_name("jq", ["a", "b"]) == group_name("jq", ["b", "a"]) != group_name("jq", ["a"])
    assert len(group_name("x" * 500, ["a"])) <= 60


def test_command_lines_that_the_shell_takes():
    python = shlex.quote(sys.executable)
    for command in ("cat", "  cat -n", "A=1 no-such", f"{python} -c 1", "while false; do :; done", "(nope)"):
        assert checked_command(command) == command
    for command in ("", "  ", "'", "nope | cat"):
        with pytest.raises(SettingsError):
            checked_command(command)


def test_how_an_end_is_told():
    assert str(CommandEnded("x", 3, "")) == "`x` ended with exit code 3, without a word"
    assert str(CommandEnded("x", -9, "oh")) == "`x` ended with signal SIGKILL: oh"
