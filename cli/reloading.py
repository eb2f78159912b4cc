"""`hybrid run --reload`: takes up files with processors that come, change or go while an application runs.

What runs is never touched. Each such file is run by a process of its own: `hybrid run --alone FILE`, which
imports everything anew, so that it can be ended and started again as often as the file changes. What the
application had loaded at its start goes on as it was; a change of that is told, and waits for a restart.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from watchfiles import awatch

from cli.output import err, out
from hybrid.discovery import looked_at
from hybrid.errors import ApplicationError

LOOK = 1_000
"""Longest time (ms) between two looks: not every file system tells of changes."""
PATIENCE = 60.0
"""Seconds in which a file must be imported and its processors consume."""
Stamp = tuple[int, int, int]
"""What tells one state of a file from another: when it was written (ns), its size, its inode."""
_READY = re.compile(r"ready: .* consumes \((.*)\) as ")
_ERROR = "error: "


class Apart:
    """One file's processors, run by a process of their own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = ""
        """The processors, once they run."""
        self.error = ""
        """What the process said before it ended."""
        self._process: asyncio.subprocess.Process | None = None
        self._listening: list[asyncio.Task[None]] = []
        self._ready = asyncio.Event()

    @property
    def runs(self) -> bool:
        """Whether it consumes."""
        return self._ready.is_set() and self._process is not None and self._process.returncode is None

    async def start(self, words: Sequence[str]) -> bool:
        """Start it, with these words for `hybrid`; return whether it consumes."""
        # -B: two changes within a second and of one size would get one .pyc
        command = [sys.executable, "-P", "-B", "-m", "cli", *words, "--parent", str(os.getpid())]
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            *command, start_new_session=True, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._listening = [
            asyncio.create_task(self._listen(process.stdout)),
            asyncio.create_task(self._listen_to_errors(process.stderr)),
        ]
        waits = [asyncio.create_task(self._ready.wait()), asyncio.create_task(process.wait())]
        try:
            done, _ = await asyncio.wait(waits, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not done:
            self.error = f"it did not consume within {PATIENCE:g} s"
            process.kill()
        if not self._ready.is_set():
            await asyncio.wait(self._listening, timeout=1)
        return self._ready.is_set()

    def ask(self) -> None:
        """Ask it to end: running handlers may, the rest is handed back."""
        if self._process and self._process.returncode is None:
            self._process.terminate()

    async def end(self) -> int:
        """Wait until it has ended; return its exit code."""
        if self._process is None:
            return 0
        code = await self._process.wait()
        if self._listening:
            await asyncio.wait(self._listening, timeout=1)
        for task in self._listening:
            task.cancel()
        return code

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        """Hand on what it prints; the line with `ready` names the processors."""
        while line := await _line(stream):
            out(line)
            if not self._ready.is_set() and (found := _READY.match(line)):
                self.names = found[1]
                self._ready.set()

    async def _listen_to_errors(self, stream: asyncio.StreamReader) -> None:
        """Hand on what it logs, but keep the error with which it ends."""
        while line := await _line(stream):
            if line.startswith(_ERROR):
                self.error = line.removeprefix(_ERROR).strip()
            else:
                err(line.rstrip("\n"))


class Reloading:
    """Watches a folder and files, and keeps what stands in them running.

    async with Reloading(words, folder, files) as reloading:
        reloading.start()
        ...
        reloading.end()
    """

    def __init__(self, words: Sequence[str], folder: Path | None, files: Sequence[Path]) -> None:
        self._words = list(words)
        self._folder = folder
        self._files = [path.resolve() for path in files]
        self._loaded = {Path(file).resolve() for file in _module_files()}
        if taken := [path for path in self._files if path in self._loaded]:
            raise ApplicationError(f"{_shown(taken[0])} belongs to the application: leave it out of --with")
        self._seen = {path: stamp for path, stamp in self._stamps().items() if path in self._loaded}
        self._apart: dict[Path, Apart] = {}
        self._told: dict[Path, str] = {}
        """The mistake last told of each file that does not run."""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Reloading:
        return self

    async def __aexit__(self, *exception: Any) -> None:
        self.end()
        if self._task:
            await asyncio.wait([self._task])
        await asyncio.gather(*(apart.end() for apart in self._apart.values()))

    def start(self) -> None:
        """Begin to watch."""
        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of each change in the folders
        self._task = asyncio.create_task(self._run())

    def end(self) -> None:
        """Watch no longer, and ask what runs to end."""
        if self._task:
            self._task.cancel()
        for apart in self._apart.values():
            apart.ask()

    async def _run(self) -> None:
        """Look at the files whenever something has happened to them, and every now and then."""
        folders = {path.parent for path in self._files} | ({self._folder} if self._folder else set())
        err(f"watching {', '.join(sorted(map(_shown, folders)))} for subscribers that come and change")
        await self._look()
        try:
            watching = awatch(*folders, recursive=False, rust_timeout=LOOK, yield_on_timeout=True)
            async for _ in watching:
                await self._look()
        except (OSError, RuntimeError) as error:
            err(f"the system does not tell of changes ({error}): looking every {LOOK / 1000:g} s instead")
            while True:
                await asyncio.sleep(LOOK / 1000)
                await self._look()

    async def _look(self) -> None:
        """Bring what runs in line with the files."""
        stamps, seen = self._stamps(), self._seen
        self._seen = stamps
        for path in seen.keys() - stamps.keys():
            await self._gone(path)
        for path, stamp in stamps.items():
            changed = stamp != seen.get(path)
            if path in self._loaded:
                if changed:
                    err(
                        f"{_shown(path)} has changed; what was loaded at the start runs on as it was then:"
                        " start `hybrid run` anew to take it up"
                    )
            elif changed or (not self._runs(path) and (path not in self._told or stamps != seen)):
                await self._renew(path)

    async def _renew(self, path: Path) -> None:
        """Run a file that is new or has changed, or whose process has ended."""
        if before := self._apart.pop(path, None):
            await self._put_down(before)
        beside = [other for other in self._apart if self._runs(other)]
        others = [other for other in self._stamps() if other not in self._loaded]
        words = [*self._words, "--alone", str(path)]
        words += [word for other in beside for word in ("--with", str(other))]
        words += [word for other in others for word in ("--without", str(other))]
        self._apart[path] = apart = Apart(path)
        if await apart.start(words):
            self._told.pop(path, None)
            return
        await apart.end()
        del self._apart[path]
        text = apart.error or "its process ended before it was ready"
        if text != self._told.get(path):
            err(f"{_shown(path)} is not run: {text}. It is tried again when it changes")
        self._told[path] = text

    async def _put_down(self, apart: Apart) -> None:
        """End what a file ran before it changed."""
        if apart.runs:
            err(f"{_shown(apart.path)} has changed: {apart.names} ends, and starts anew")
            apart.ask()
            await apart.end()
            return
        code = await apart.end()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
        why = f" ({apart.error})" if apart.error else ""
        err(f"the process of {apart.names} ({_shown(apart.path)}) ended with {how}{why}; another one starts")

    async def _gone(self, path: Path) -> None:
        self._told.pop(path, None)
        if path in self._loaded:
            err(f"{_shown(path)} is gone; its processors run until `hybrid run` is started anew")
        elif apart := self._apart.pop(path, None):
            apart.ask()
            await apart.end()
            names = apart.names.split(", ")
            remove = " and ".join(f"`hybrid groups remove {name}`" for name in names)
            err(
                f"{_shown(path)} is gone: {apart.names} has ended. Its group stays, and events wait for it:"
                f" {remove} ends that"
            )

    def _runs(self, path: Path) -> bool:
        return path in self._apart and self._apart[path].runs

    def _stamps(self) -> dict[Path, Stamp]:
        """Return the files that are there, each with its state."""
        found = [path for path in self._folder.glob("*.py") if looked_at(path.stem)] if self._folder else []
        stamps = {}
        for path in dict.fromkeys([*sorted(found), *self._files]):
            try:
                stat = path.stat()
            except OSError:  # gone between two looks
                continue
            stamps[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return stamps


async def _line(stream: asyncio.StreamReader) -> str:
    """Return the next line, "" at the end; one that is too long comes in pieces."""
    try:
        raw = await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        raw = error.partial
    except asyncio.LimitOverrunError as error:
        raw = await stream.readexactly(error.consumed)
    return raw.decode(errors="replace")


def _module_files() -> list[str]:
    return [file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]


def _shown(path: Path) -> str:
    """Return a path as people would type it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
