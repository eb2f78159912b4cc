"""Worker processes, and what can happen to them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

START = 60.0
"""Seconds that a worker may take to come up on a busy machine."""
SCRIPT = Path(__file__).with_name("worker.py")


class Proc:
    """One worker process. What it says stands in `log`."""

    def __init__(
        self, number: int, names: Sequence[str], directory: Path, environment: dict[str, str]
    ) -> None:
        self.names = list(names)
        self.log = directory / f"worker-{number}.log"
        setpriv = shutil.which("setpriv")
        death = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                [*death, sys.executable, str(SCRIPT), *names],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **environment},
                cwd=directory,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None while it lives."""
        return self._process.poll()

    @property
    def consumer(self) -> str:
        """The consumer name it began with; "" before it is ready."""
        for line in self.log.read_text(errors="replace").splitlines():
            if line.startswith("ready "):
                return line.split()[1]
        return ""

    def kill9(self) -> None:
        self._process.kill()
        self._process.wait(20)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self, seconds: float) -> int:
        return self._process.wait(seconds)


class Fleet:
    """Starts worker processes, and ends them all with the test."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.all: list[Proc] = []
        self._directory = directory
        self.environment = environment
        """Of workers that are started from now on."""

    @property
    def living(self) -> list[Proc]:
        return [proc for proc in self.all if proc.code is None]

    def launch(self, *names: str) -> Proc:
        """Start a worker of these components (of all when none is named); it may not be ready yet."""
        proc = Proc(len(self.all), names, self._directory, self.environment)
        self.all.append(proc)
        return proc

    async def start(self, *names: str, count: int = 1) -> list[Proc]:
        """Start workers side by side, and return when all are ready."""
        procs = [self.launch(*names) for _ in range(count)]
        deadline = time.monotonic() + START
        for proc in procs:
            while not proc.consumer:
                assert proc.code is None, f"a worker did not start:\n{proc.log.read_text()[-3000:]}"
                assert time.monotonic() < deadline, f"a worker is not ready:\n{proc.log.read_text()[-3000:]}"
                await asyncio.sleep(0.02)
        return procs

    def tend(self) -> None:
        """Start another one for each that died."""
        for proc in list(self.all):
            if proc.code is not None and not getattr(proc, "replaced", False):
                proc.replaced = True
                self.launch(*proc.names)

    def close(self) -> None:
        for proc in self.living:
            proc.kill9()

    async def tell(self) -> None:
        """Let the living say what they have in work."""
        for proc in self.living:
            os.kill(proc.pid, signal.SIGUSR1)
        await asyncio.sleep(1)  # a frozen one says nothing: there is no condition to wait for

    def said(self, lines: int = 120) -> str:
        """The last words of every process, for an account."""
        texts = []
        for proc in self.all:
            tail = proc.log.read_text(errors="replace").splitlines()[-lines:]
            texts.append(f"--- {proc.log.name} pid {proc.pid} code {proc.code}\n" + "\n".join(tail))
        return "\n".join(texts)
