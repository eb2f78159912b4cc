"""The plain servers of tests/servers.py, which other tests stand on."""

import os
import signal
import subprocess
import sys

import pytest

from hybrid.server.wire import ask
from tests.server.programs import ROOT, alive, until
from tests.servers import REDIS, VALKEY, spawn

BINARIES = [
    pytest.param(VALKEY, id="valkey"),
    pytest.param(
        REDIS, id="redis", marks=pytest.mark.skipif(not REDIS.exists(), reason="no redis-server here")
    ),
]


@pytest.fixture(params=BINARIES)
def server(request, tmp_path):
    with spawn(request.param, tmp_path / "data", extra_args=("--appendonly", "yes")) as server:
        yield server


@pytest.mark.parametrize("again", ["kill9", "restart"])
def test_data_and_address_stay(server, again):
    url, pid = server.url, server.pid
    assert ask(server.socket, "SET", "kept", "yes") == "+OK"
    getattr(server, again)()
    if again == "kill9":
        assert not server.is_running()
        server.restart()
    assert ask(server.socket, "GET", "kept") == "yes"
    assert (server.url, server.pid != pid) == (url, True)


def test_a_frozen_one_does_not_answer(server):
    server.freeze()
    with pytest.raises(TimeoutError):
        ask(server.socket, "PING", timeout=0.1)
    server.thaw()
    assert ask(server.socket, "PING") == "+PONG"
    server.freeze()  # and can be stopped so


def test_stopped_for_good(server):
    pid = server.pid
    server.stop()
    server.stop()
    assert not alive(pid)
    assert not server.socket.parent.exists()


def test_a_port_when_asked_for(tmp_path):
    with spawn(VALKEY, tmp_path, tcp=True) as server:
        assert server.url.startswith("redis://127.0.0.1:")
        assert f"tcp_port:{server.url.rpartition(':')[2]}\r\n" in ask(server.socket, "INFO", "server")


def test_one_that_does_not_start_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="appendonly"):
        spawn(VALKEY, tmp_path, extra_args=("--appendonly", "perhaps"))


def test_it_ends_with_a_session_that_is_killed(tmp_path):
    program = (
        "from pathlib import Path; from tests.servers import VALKEY, spawn\n"
        f"print(spawn(VALKEY, Path({str(tmp_path)!r})).pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as session:
        pid = int(session.stdout.readline())
        assert alive(pid)
        os.kill(session.pid, signal.SIGKILL)
    until(lambda: not alive(pid))
