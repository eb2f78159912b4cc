"""`hybrid run`: real processes."""

import json
import os
import re
import signal
import time

import pytest


def until(check, within=60.0):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.05)
    pytest.fail(f"not within {within} s")


def end(child, number=signal.SIGTERM):
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    return child.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_consumes_and_stops_when_told(still, number):
    child = still.spawn("run")
    assert re.match(rf"ready: {still.name} consumes \(4 components\) as \S+\n", child.stdout.readline())
    code, _, err = end(child, number)
    assert code == 0
    assert "stopped" in err
    status = json.loads(still.process("status", "--json").out)
    assert status["consumers"] == []


def test_an_unknown_component(still):
    said = still.process("run", "front", "nope")
    assert said.code == 2
    assert said.err == "error: no component is called nope; there are: front, boss, worker, listener\n"


def test_a_component_alone(still):
    with still.running("worker"):
        assert still.process("send", "go", "n=1", "--wait", "--timeout", "0.5").code == 2
        with still.running("front", "boss", "listener"):
            assert still.process("send", "go", "n=1", "--wait", "--timeout", "20").code == 0


def test_what_stops_hands_back_and_another_goes_on(still):
    with still.running():
        still.process("send", "go", "n=1", "--wait")
    sent = still.process("send", "go", "n=2")
    with still.running():
        flow = sent.out.strip()
        until(
            lambda: (
                json.loads(still.process("flows", "show", flow, "--json").out)["summary"]["state"]
                == "completed"
            )
        )


def test_several_processes_and_one_dies(still):
    child = still.spawn("run", "--processes", "2", "--quiet")
    try:
        ready = [child.stdout.readline() for _ in range(2)]
        pids = [int(line.rsplit("-", 2)[1]) for line in ready]
        assert len(set(pids)) == 2
        os.kill(pids[0], signal.SIGKILL)
        assert "ready" in child.stdout.readline()
        assert still.process("send", "go", "n=1", "--wait").code == 0
    finally:
        code, _, err = end(child)
    assert code == 0
    assert "ended with signal SIGKILL; another one starts in 0.5 s" in err
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_children_do_not_outlive_their_parent(still):
    child = still.spawn("run", "--processes", "2", "--quiet")
    pids = [int(child.stdout.readline().rsplit("-", 2)[1]) for _ in range(2)]
    child.kill()
    child.communicate(timeout=30)  # ends when nobody holds its pipes any more

    def gone():
        try:
            return [os.kill(pid, 0) for pid in pids] and False
        except ProcessLookupError:
            return True

    until(gone)


def test_the_embedded_server_is_shared_by_directory(still):
    still.env["HYBRID_REDIS_URL"] = ""
    with still.running():
        assert still.process("send", "go", "n=1", "--wait").code == 0
    assert (still.directory / ".hybrid" / "server").is_dir()
    assert still.process("flows", "list", "--json").out.count('"completed"') == 1
