"""A small application of its own for each session, with a worker that runs, and `hybrid` in this process."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from hybrid.ids import new_id
from tests.conftest import swept

SHOP = Path(__file__).with_name("shop.py")
PATIENCE = 30


@dataclass
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Place:
    """A directory with an application in it, and `hybrid` there, in this process or another."""

    def __init__(self, directory: Path, name: str, url: str) -> None:
        self.directory = directory
        self.name = name
        self.env = {"HYBRID_APP": f"{name}.py", "HYBRID_REDIS_URL": url, "HYBRID_LEASE_MS": "2000"}
        shutil.copy(SHOP, directory / f"{name}.py")

    def spawn(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        env = {**os.environ, **self.env, "PYTHONPATH": str(SHOP.parents[2])}
        command = [sys.executable, "-P", "-m", "cli", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, cwd=self.directory, env=env, text=True, **pipes)

    def process(self, *words: str, given: str | None = None) -> Said:
        """Run a command in a process of its own."""
        child = self.spawn(*words, stdin=subprocess.PIPE if given is not None else subprocess.DEVNULL)
        out, err = child.communicate(given, timeout=PATIENCE)
        return Said(child.returncode, out, err)

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Run `hybrid run` until it is ready; end it at the end, gracefully."""
        child = self.spawn("run", "--quiet", *words)
        try:
            assert child.stdout
            line = child.stdout.readline()
            assert "ready" in line, f"{line}{child.communicate(timeout=5)[1]}"
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
            child.communicate(timeout=PATIENCE)


@pytest.fixture(scope="session")
def place(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The session's directory, with a worker that runs."""
    place = Place(tmp_path_factory.mktemp("shop"), f"t{new_id()}", server)
    with place.running():
        yield place
    assert not swept(server, place.name)


@pytest.fixture
def still(server: str, tmp_path: Path) -> Iterator[Place]:
    """A directory of its own, where nothing runs."""
    place = Place(tmp_path, f"t{new_id()}", server)
    yield place
    assert not swept(server, place.name)


class Hybrid:
    """`hybrid` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def at(self, place: Place) -> Hybrid:
        """Work in this directory from now on."""
        self._monkeypatch.chdir(place.directory)
        for name, value in place.env.items():
            self._monkeypatch.setenv(name, value)
        return self

    def __call__(self, *words: str, given: bytes = b"") -> Said:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        said = self._capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(int(ended.value.code or 0), said.out, said.err)


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Hybrid:
    """`hybrid` in an empty directory, without an application or a server."""
    for name in [name for name in os.environ if name.startswith("HYBRID_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return Hybrid(monkeypatch, capsys)


@pytest.fixture
def hybrid(anywhere: Hybrid, place: Place) -> Hybrid:
    """`hybrid` where the session's worker runs."""
    return anywhere.at(place)
