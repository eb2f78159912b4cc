"""The plain servers of tests/servers.py, which other tests stand on."""

import os
import shutil
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
def plain(request, tmp_path):
    with spawn(request.param, tmp_path / "data", extra_args=("--appendonly", "yes")) as plain:
        yield plain


@pytest.mark.parametrize("again", ["kill9", "restart"])
def test_data_and_address_stay(plain, again):
    url, pid = plain.url, plain.pid
    assert ask(plain.socket, "SET", "kept", "yes") == "+OK"
    getattr(plain, again)()
    if again == "kill9":
        assert not plain.is_running()
        plain.restart()
    assert ask(plain.socket, "GET", "kept") == "yes"
    assert (plain.url, plain.pid != pid) == (url, True)


def test_a_frozen_one_does_not_answer(plain):
    plain.freeze()
    with pytest.raises(TimeoutError):
        ask(plain.socket, "PING", timeout=0.1)
    plain.thaw()
    assert ask(plain.socket, "PING") == "+PONG"
    plain.freeze()  # and can be stopped so


def test_stopped_for_good(plain):
    pid = plain.pid
    plain.stop()
    plain.stop()
    assert not alive(pid)
    assert not plain.socket.parent.exists()


def test_a_port_when_asked_for(tmp_path):
    with spawn(VALKEY, tmp_path, tcp=True) as plain:
        assert plain.url.startswith("redis://127.0.0.1:")
        assert f"tcp_port:{plain.url.rpartition(':')[2]}\r\n" in ask(plain.socket, "INFO", "server")


def test_one_that_does_not_start_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="appendonly"):
        spawn(VALKEY, tmp_path, extra_args=("--appendonly", "perhaps"))


def test_it_ends_with_a_session_that_is_killed(tmp_path):
    program = (
        "from pathlib import Path; from tests.servers import VALKEY, spawn\n"
        f"server = spawn(VALKEY, Path({str(tmp_path)!r}))\n"
        "print(server.pid, server.socket.parent, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as session:
        pid, runtime = session.stdout.readline().decode().split()
        assert alive(pid)
        os.kill(session.pid, signal.SIGKILL)
    until(lambda: not alive(pid))
    shutil.rmtree(runtime)
