"""Programs as handlers: events go to a process's stdin as CloudEvents, one JSON object a line, and the exit
code is what became of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.output import err
from hybrid import Context, Event, HybridError
from hybrid.cloudevents import cloud_event
from hybrid.errors import SettingsError

SHELL = "/bin/sh"
KEPT = 4096
"""Bytes of its stderr that a process's failure keeps: the last ones."""
GONE = (BrokenPipeError, ConnectionResetError, RuntimeError)
"""What writing to a process that reads no more raises; the last is uvloop's, when it has ended by then."""
_WORD = re.compile(r"\s*([A-Za-z0-9_./+][A-Za-z0-9_./+-]*)(?=\s|$)")
"""A command line's first word, where it is a plain one."""


class CommandEnded(HybridError):
    """A process ended with another exit code than 0. `said` is the end of its stderr."""

    def __init__(self, command: str, code: int, said: str) -> None:
        self.command, self.code, self.said = command, code, said
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        super().__init__(f"`{command}` ended with {how}" + (f": {said}" if said else ", without a word"))


@dataclass(slots=True, eq=False)
class Waiting:
    """An event that waits for its process to end."""

    context: Context
    line: bytes
    ended: asyncio.Future[None]


class Feeder:
    """Feeds events to processes of one command: up to `batch` to each, up to `most` processes at a time.

    While all are busy the next batch gathers; a lone event does not wait. A batch is done, or fails, as a
    whole.
    """

    def __init__(self, command: str, app: str, batch: int = 1, most: int = 1) -> None:
        self.command = command
        self._app = app
        self._batch = batch
        self._most = most
        self._waiting: deque[Waiting] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Feeder:
        return self

    async def __aexit__(self, *exception: Any) -> None:
        """Kill what still runs: nobody waits for it any more, and its events are handed out again."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def feed(self, event: Event, context: Context) -> None:
        """Give an event to a process, and return when that has ended well. Raises CommandEnded, OSError."""
        said = cloud_event(context.envelope, event, self._app)
        loop = asyncio.get_running_loop()
        line = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")
        waiting = Waiting(context, line + b"\n", loop.create_future())
        self._waiting.append(waiting)
        loop.call_soon(self._fill)  # after those that were handed out together with it
        await waiting.ended

    def _fill(self) -> None:
        """Start processes for what waits, as many as may run."""
        while self._waiting and len(self._running) < self._most:
            batch: list[Waiting] = []
            while self._waiting and len(batch) < self._batch:
                waiting = self._waiting.popleft()
                if not waiting.ended.done():  # cancelled, while it waited
                    batch.append(waiting)
            if batch:
                task = asyncio.create_task(self._run(batch))
                self._running.add(task)
                task.add_done_callback(self._has_ended)

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._fill()

    async def _run(self, batch: list[Waiting]) -> None:
        """Run one process, and tell those who wait how it ended."""
        try:
            code, said = await self._process(batch)
        except OSError as error:
            for waiting in batch:
                if not waiting.ended.done():
                    waiting.ended.set_exception(OSError(error.errno, f"{SHELL}: {error.strerror}"))
            return
        for waiting in batch:
            if waiting.ended.done():
                continue
            if code:
                waiting.ended.set_exception(CommandEnded(self.command, code, said))
            else:
                waiting.ended.set_result(None)

    async def _process(self, batch: list[Waiting]) -> tuple[int, str]:
        """Run the command on these events; return its exit code and the end of its stderr.

        In a session of its own, so that a Ctrl-C in the terminal lets it end.
        """
        first, pipe = batch[0].context.envelope, asyncio.subprocess.PIPE
        facts = {"HYBRID_TYPE": first.type, "HYBRID_ID": first.id, "HYBRID_ATTEMPT": str(first.attempt)}
        process = await asyncio.create_subprocess_exec(
            SHELL, "-c", self.command, stdin=pipe, stderr=pipe, env={**os.environ, **facts},
            start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            lines = [waiting.line for waiting in batch]
            _, said = await asyncio.gather(_give(process.stdin, lines), _listen(process.stderr))
            return await process.wait(), said
        except asyncio.CancelledError:
            err(f"`{self.command}` is killed: it has not ended within the time to stop (HYBRID_STOP_MS)")
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


async def _give(stdin: asyncio.StreamWriter, lines: list[bytes]) -> None:
    """Write lines, and close; a process need not read them."""
    with suppress(*GONE):
        stdin.writelines(lines)
        await stdin.drain()
    with suppress(*GONE):
        stdin.close()
        await stdin.wait_closed()


async def _listen(stderr: asyncio.StreamReader) -> str:
    """Hand on what a process says, and return the end of it."""
    said = b""
    while part := await stderr.read(KEPT):
        with suppress(OSError):
            os.write(2, part)
        said = (said + part)[-KEPT:]
    return said.decode(errors="replace").strip()


def first_word(command: str) -> str:
    """Return a command line's first word, "" where it is no plain word."""
    found = _WORD.match(command)
    return found[1] if found else ""


def checked_command(command: str) -> str:
    """Return a command line for the shell. Raises SettingsError when the shell can't read it, or does not
    find its first word.
    """
    read = subprocess.run([SHELL, "-n", "-c", command], capture_output=True, text=True, check=False)
    if read.returncode or not command.strip():
        raise SettingsError(
            f"--exec {command!r}: the shell can't read it: {read.stderr.strip() or 'it is empty'}"
        )
    if word := first_word(command):
        found = subprocess.run(
            [SHELL, "-c", 'command -v "$1"', SHELL, word], capture_output=True, check=False
        ).returncode
        if found:
            where = "that may be executed" if "/" in word else f"in PATH ({os.environ.get('PATH', '')})"
            raise SettingsError(f"--exec {command!r}: there is no command {word} {where}, from {Path.cwd()}")
    return command
