"""Users, servers and guardians that are killed: the server comes back, or goes, and the data stay."""

import os
import signal
import time

import pytest

from hybrid.errors import ServerError
from hybrid.server import open_embedded
from hybrid.server import process as process_module
from hybrid.server.home import socket_for
from hybrid.server.locks import is_free
from hybrid.server.process import Patience, ServerProcess, wheel_binary
from hybrid.server.wire import answers, ask
from tests.server.programs import alive, is_gone, kill9, parent, path_of, rewrites, said_again, say, until


def test_a_killed_user_takes_the_server_with_it(home, user):
    killed = user()
    pid = killed.server_pid()
    assert killed.ask("SET", "kept", "yes") == "+OK"
    killed.kill9()
    until(lambda: is_gone(home, pid))
    with open_embedded(home.directory) as lease:
        assert say(lease, "GET", "kept") == "yes"
    assert rewrites(home) == 1  # the end of the server was a clean one


def test_a_killed_user_leaves_it_to_the_others(lease, home, user):
    killed = user()
    killed.server_pid()
    killed.kill9()
    assert say(lease, "PING") == "+PONG"
    lease.close()
    assert is_gone(home, lease.server.pid)


def test_a_user_killed_while_it_starts_leaves_nothing(home, user):
    for delay in (0.05, 0.1, 0.15, 0.2, 0.3):
        killed = user()
        time.sleep(delay)  # not a condition: the moment of the kill
        killed.kill9()
        until(lambda: is_free(home.guardian) and is_free(home.server))
    with open_embedded(home.directory) as lease:
        assert say(lease, "PING") == "+PONG"
    assert is_gone(home, lease.server.pid)


def test_a_killed_server_comes_back_whole(lease, home):
    for number in range(2000):
        say(lease, "SET", f"key{number}", "x" * 100)
    kill9(lease.server.pid)
    assert said_again(lease, "DBSIZE") == ":2000"  # never -LOADING, never a server that still rewrites
    assert rewrites(home) == 2
    with open_embedded(home.directory) as other:
        assert other.url == lease.url
        assert other.server.pid != lease.server.pid
    lease.close()
    assert is_gone(home, other.server.pid)


def test_a_server_that_keeps_dying_comes_back_each_time(lease, home):
    for _ in range(3):
        with open_embedded(home.directory) as now:
            kill9(now.server.pid)
            assert said_again(lease, "PING") == "+PONG"
    assert "ended while it was in use" in home.log.read_text()


def test_a_server_that_somebody_shut_down_comes_back_without_a_rewrite(lease, home):
    say(lease, "SHUTDOWN")
    assert said_again(lease, "PING") == "+PONG"
    assert rewrites(home) == 1


def test_sigterm_to_everybody_leaves_the_server_to_its_users(lease, home):
    guardian = parent(lease.server.pid)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(guardian, number)
    assert say(lease, "PING") == "+PONG"
    assert alive(guardian)
    lease.close()
    assert is_gone(home, lease.server.pid)


def test_a_killed_guardian_is_replaced(lease, home, caplog):
    say(lease, "SET", "kept", "yes")
    kill9(parent(lease.server.pid))
    until(lambda: not alive(lease.server.pid))  # it can't outlive the last user
    assert said_again(lease, "GET", "kept") == "yes"
    assert "spawned another one" in caplog.text
    lease.close()
    until(lambda: is_gone(home, lease.server.pid))


def test_after_an_unclean_end_of_all_it_rewrites_before_it_serves(home, user):
    killed = user()
    pid = killed.server_pid()
    assert killed.ask("SET", "kept", "yes") == "+OK"
    guardian = parent(pid)
    os.kill(guardian, signal.SIGSTOP)
    for victim in (pid, killed.process.pid, guardian):
        os.kill(victim, signal.SIGKILL)
    until(lambda: is_free(home.guardian) and is_free(home.server))
    assert home.unclean.exists()
    torn = max((home.directory / "appendonlydir").glob("*.incr.aof"))
    torn.write_bytes(torn.read_bytes() + b"*3\r\n$3\r\nSET\r\n$4\r\nto")
    with open_embedded(home.directory) as lease:
        assert rewrites(home) == 2
        assert say(lease, "GET", "kept") == "yes"
        assert home.unclean.exists()  # until the clean end
    assert is_gone(home, lease.server.pid)


def test_a_server_killed_while_it_starts_is_started_again(home, tmp_path):
    fragile = tmp_path / "fragile"
    fragile.write_text(
        f'#!/bin/sh\n[ -e killed ] || {{ touch killed; kill -9 $$; }}\nexec {wheel_binary()} "$@"\n'
    )
    fragile.chmod(0o755)
    with open_embedded(home.directory, binary=fragile) as lease:
        assert say(lease, "PING") == "+PONG"
        assert (home.directory / "killed").exists()


def test_one_that_is_killed_again_and_again_is_given_up(home, tmp_path):
    hopeless = tmp_path / "hopeless"
    hopeless.write_text("#!/bin/sh\necho once >> starts\nkill -9 $$\n")
    hopeless.chmod(0o755)
    with pytest.raises(ServerError, match="exit status -9"):
        open_embedded(home.directory, binary=hopeless)
    assert (home.directory / "starts").read_text().split() == ["once"] * 3


@pytest.fixture
def brittle(tmp_path):
    """A server that only starts while there is no file `broken` in its directory, and loads slowly."""
    binary = tmp_path / "brittle"
    slow = "--key-load-delay 200"
    binary.write_text(f'#!/bin/sh\n[ -e broken ] && exit 3\nexec {wheel_binary()} "$@" {slow}\n')
    binary.chmod(0o755)
    return binary


def test_a_server_that_can_not_be_restarted_is_tried_until_it_can(home, brittle):
    with open_embedded(home.directory, binary=brittle) as lease:
        (home.directory / "broken").touch()
        kill9(lease.server.pid)
        until(lambda: home.log.read_text().count("exit status 3") >= 2)
        assert not answers(path_of(lease))
        (home.directory / "broken").unlink()
        assert said_again(lease, "PING") == "+PONG"


def test_a_server_that_can_not_be_restarted_is_given_up_by_the_last_one(home, brittle):
    with open_embedded(home.directory, binary=brittle) as lease:
        (home.directory / "broken").touch()
        kill9(lease.server.pid)
        until(lambda: "exit status 3" in home.log.read_text())
    assert is_free(home.guardian)
    assert home.unclean.exists()


def test_loading_takes_as_long_as_it_takes(home, brittle):
    with open_embedded(home.directory) as lease:
        say(lease, "EVAL", "\"for i = 1, 10000 do redis.call('set', 'key' .. i, i) end\"", "0")
    began = time.monotonic()  # it answers at each 1,024th command that it loads, some 300 ms here
    with open_embedded(home.directory, binary=brittle, timeout=1.0) as lease:
        assert time.monotonic() - began > 2.5
        assert say(lease, "DBSIZE") == ":10000"


def test_a_rewrite_that_was_killed_leaves_no_file(home):
    debris = home.directory / "temp-rewriteaof-bg-1.aof"
    debris.touch()
    with open_embedded(home.directory):
        assert not debris.exists()


def test_a_server_without_a_guardian_is_waited_for(home, leave):
    """As on macOS, where nothing stops the server of a killed guardian."""
    orphan = ServerProcess(home, wheel_binary(), socket_for(home.directory), lambda: None)
    orphan.start(Patience(20, lambda: False, lambda: None))
    leave.callback(orphan.kill)
    ask(orphan.socket, "SET", "kept", "yes")
    with open_embedded(home.directory) as lease:
        assert orphan.ended.is_set()
        assert say(lease, "GET", "kept") == "yes"


def test_a_frozen_server_is_killed_at_last(home, monkeypatch):
    monkeypatch.setattr(process_module, "STOP", 0.2)
    server = ServerProcess(home, wheel_binary(), socket_for(home.directory), lambda: None)
    server.start(Patience(20, lambda: False, lambda: None))
    os.kill(server.pid, signal.SIGSTOP)
    server.stop()
    assert not alive(server.pid)
    assert home.unclean.exists()
