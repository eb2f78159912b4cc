"""Several worker processes: starts them, passes signals on, and starts another one when one dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from cli.output import err
from hybrid import App

LIVED = 30.0
"""Seconds after which a process counts as having run well: the next death is answered at once again."""
PAUSES = (0.5, 30.0)
"""Seconds before a dead process is replaced: at first, and at most."""


class Processes:
    """Runs `hybrid` with these words so many times, until a signal."""

    def __init__(self, words: list[str], count: int) -> None:
        self._words = words
        self._count = count
        self._stop = asyncio.Event()
        self._running: dict[int, asyncio.subprocess.Process] = {}

    async def run(self, app: App) -> int:
        """Run them; return the exit code. Keeps the embedded server up between the death of one and the birth
        of another.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked)
        async with app.store() as store:
            await store.open()
            err(f"{self._count} processes of {app.name}; Ctrl-C or SIGTERM to {os.getpid()} stops them")
            codes = await asyncio.gather(*(self._keep(number) for number in range(1, self._count + 1)))
        err("stopped")
        return max(codes)

    async def _keep(self, number: int) -> int:
        """Keep one process running; return how it ended when it was told to."""
        pause = PAUSES[0]
        while True:
            began = time.monotonic()
            code = await self._one(number)
            if self._stop.is_set():
                return 0 if code in (0, -signal.SIGTERM) else 2
            if time.monotonic() - began > LIVED:
                pause = PAUSES[0]
            err(f"process {number} ended with {_told(code)}; another one starts in {pause:g} s")
            try:
                await asyncio.wait_for(self._stop.wait(), pause)
            except TimeoutError:
                pause = min(2 * pause, PAUSES[1])
            else:
                return 0

    async def _one(self, number: int) -> int:
        words = [sys.executable, "-P", "-m", "cli", *self._words, "--parent", str(os.getpid())]
        process = await asyncio.create_subprocess_exec(
            *words, start_new_session=True, stdin=asyncio.subprocess.DEVNULL
        )
        self._running[number] = process
        if self._stop.is_set():
            process.terminate()
        try:
            return await process.wait()
        finally:
            del self._running[number]

    def _asked(self) -> None:
        """Pass a signal on: the first stops gracefully, the second at once."""
        again = self._stop.is_set()
        self._stop.set()
        if not again:
            err("stopping")
        for process in self._running.values():
            if again:
                process.kill()
            else:
                process.terminate()


def _told(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
