"""The terminal: keys as they are pressed, without echo and without waiting for a line."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from select import select

from cli.console.keys import keys_of

ESCAPE = 0.03
"""How long (s) a lone escape waits for the rest of a sequence: over a slow line they may come apart."""
LOOK = 0.2
"""How often (s) the thread looks whether it is to end."""


class Keys:
    """The keys that are pressed, as a queue.

    A thread reads them. The event loop can't: it would make stdin non-blocking, and with it stdout, which is
    the same terminal; then large frames would be cut.
    """

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._ended = threading.Event()

    @contextmanager
    def listening(self) -> Iterator[Keys]:
        """Listen on stdin; it is as before afterwards."""
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)
        thread = threading.Thread(target=self._read, args=(descriptor,), name="keys", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    def _read(self, descriptor: int) -> None:
        text = ""
        while not self._ended.is_set():
            if not select([descriptor], [], [], ESCAPE if text else LOOK)[0]:
                text = self._press(text)
                continue
            try:
                data = os.read(descriptor, 1024)
            except OSError:
                data = b""
            if not data:  # the terminal is gone
                self._press("\x03")
                return
            text += data.decode(errors="ignore")
            if text not in ("\x1b", "\x1b[", "\x1bO"):
                text = self._press(text)

    def _press(self, text: str) -> str:
        for key in keys_of(text):
            self._loop.call_soon_threadsafe(self.queue.put_nowait, key)
        return ""
