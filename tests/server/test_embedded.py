"""The embedded server: who starts it, who shares it, where it lies, and that it goes with the last one."""

import asyncio
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import redis

from hybrid.errors import ServerError
from hybrid.server import EmbeddedServer, open_embedded
from hybrid.server.home import socket_for
from hybrid.server.locks import FileLock
from tests.server.programs import alive, is_gone, path_of, rewrites, say, until


def test_it_serves_on_a_private_socket_and_nowhere_else(lease, home):
    assert lease.server == EmbeddedServer(lease.url, home.directory, lease.server.pid)
    assert say(lease, "PING") == "+PONG"
    assert path_of(lease).parent.stat().st_mode & 0o777 == 0o700
    assert home.directory.stat().st_mode & 0o077 == 0
    assert "tcp_port:0" in say(lease, "INFO", "server")


@pytest.mark.parametrize(
    ("option", "value"),
    [("appendonly", "yes"), ("appendfsync", "everysec"), ("maxmemory-policy", "noeviction"), ("save", "")],
)
def test_it_keeps_what_it_is_told(lease, option, value):
    with redis.Redis.from_url(lease.url, decode_responses=True) as client:
        assert client.config_get(option) == {option: value}


def test_data_survives_and_nothing_else_is_left(home):
    for number in range(1, 4):
        with open_embedded(home.directory) as lease:
            assert say(lease, "INCR", "opened") == f":{number}"
        assert is_gone(home, lease.server.pid)
    assert rewrites(home) == 1


def test_closing_twice_is_closing_once(home):
    lease = open_embedded(home.directory)
    with lease:
        lease.close()
    assert is_gone(home, lease.server.pid)


async def test_it_outlives_the_thread_that_opened_it(home):
    lease = await asyncio.to_thread(open_embedded, home.directory)
    opened = []
    thread = threading.Thread(target=lambda: opened.append(open_embedded(home.directory)))
    thread.start()
    await asyncio.to_thread(thread.join)
    await asyncio.to_thread(lease.close)
    assert say(opened[0], "PING") == "+PONG"
    assert opened[0].server.pid == lease.server.pid
    await asyncio.to_thread(opened[0].close)


def test_it_starts_fast(home):
    """Some 150 ms on a quiet machine; here only that no timeout is part of it."""
    began = time.monotonic()
    with open_embedded(home.directory):
        assert time.monotonic() - began < 3.0


def test_the_second_attaches_and_the_first_may_leave(lease, home, user):
    other = user()
    assert other.server_pid() == lease.server.pid
    say(lease, "SET", "from", "first")
    lease.close()
    assert other.ask("GET", "from") == "first"
    other.leave()
    assert is_gone(home, lease.server.pid)


def test_many_at_the_same_moment_start_one(home, user):
    users = [user() for _ in range(6)]
    pids = {user.server_pid() for user in users}
    assert len(pids) == 1
    for one in users[:-1]:
        one.leave()
        assert alive(*pids)
    users[-1].leave()
    assert is_gone(home, *pids)


def test_opening_while_the_last_one_closes_starts_a_new_one(home):
    """Threads that come and go all the time: each finds a server that serves, and no write is lost."""
    rounds, failures = 12, []

    def come_and_go():
        try:
            for _ in range(rounds):
                with open_embedded(home.directory) as lease:
                    say(lease, "INCR", "visits")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with open_embedded(home.directory) as lease:
        assert say(lease, "GET", "visits") == str(3 * rounds)
    assert is_gone(home, lease.server.pid)


def test_opening_waits_for_a_server_that_stops(home, leave):
    stopping = FileLock(home.users)  # as the guardian holds it while it stops the server
    stopping.wait_exclusive()
    timer = threading.Timer(0.3, stopping.close)
    timer.start()
    leave.callback(timer.join)
    with open_embedded(home.directory) as lease:
        assert stopping.fileno() == -1  # closed
        assert say(lease, "PING") == "+PONG"


def test_ctrl_c_in_a_terminal_reaches_the_user_only(home, user):
    program = user()
    pid = program.server_pid()
    os.killpg(program.process.pid, signal.SIGINT)
    program.process.wait(20)
    until(lambda: is_gone(home, pid))  # gone by the guardian: clean, and not by the signal
    assert "received SIGINT" not in home.log.read_text().lower()
    assert "User requested shutdown" in home.log.read_text()


def test_a_long_path_is_no_problem(tmp_path):
    deep = tmp_path.joinpath(*["a-rather-long-name-of-a-directory"] * 8)
    with open_embedded(deep) as lease:
        assert len(str(deep)) > 200
        assert len(path_of(lease).as_posix()) <= 100
        assert say(lease, "PING") == "+PONG"


def test_other_ways_to_the_directory_lead_to_the_same_server(lease, home, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(home.directory)
    monkeypatch.chdir(tmp_path)
    for way in (Path("link"), Path("data"), home.directory / ".." / "data"):
        with open_embedded(way) as other:
            assert other.server == lease.server


def test_a_directory_deleted_in_use_and_made_anew_is_another_one(lease, home):
    subprocess.run(["rm", "-rf", home.directory], check=True)
    with open_embedded(home.directory) as other:
        assert other.url != lease.url
        assert say(lease, "PING") == say(other, "PING") == "+PONG"
        lease.close()
        until(lambda: not alive(lease.server.pid))
        with open_embedded(home.directory) as third:  # the old guardian took nothing from the new one
            assert third.server == other.server
        assert home.unclean.exists()


def test_a_directory_deleted_in_use_is_no_problem_for_the_last_one(lease, home):
    subprocess.run(["rm", "-rf", home.directory], check=True)
    assert say(lease, "PING") == "+PONG"
    lease.close()
    until(lambda: not alive(lease.server.pid))


def test_the_socket_lies_in_the_session_directory_when_there_is_one(home, monkeypatch, tmp_path, leave):
    session = Path(f"/tmp/hybrid-test-{os.getpid()}")
    session.mkdir()
    leave.callback(subprocess.run, ["rm", "-rf", session], check=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    assert socket_for(home.directory).parent == session / "hybrid"
    for unfit in (tmp_path / "missing", tmp_path.joinpath("x" * 100)):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(unfit))
        assert socket_for(home.directory).parent == Path(f"/tmp/hybrid-{os.getuid()}")


@pytest.mark.parametrize("trap", ["link", "file"])
def test_a_runtime_directory_of_somebody_else_is_refused(home, monkeypatch, leave, trap):
    session = Path(f"/tmp/hybrid-test-{os.getpid()}")
    session.mkdir()
    leave.callback(subprocess.run, ["rm", "-rf", session], check=True)
    if trap == "link":
        (session / "hybrid").symlink_to("/tmp")
    else:
        (session / "hybrid").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    with pytest.raises(ServerError, match="runtime directory"):
        socket_for(home.directory)


def test_a_long_log_is_put_aside(home):
    home.log.write_bytes(b"x" * 1_000_001)
    with open_embedded(home.directory):
        assert home.log_size() < 1_000_000
    assert home.log.with_name("server.log.1").stat().st_size == 1_000_001
