"""A bad line to the server: cuts connections at random, before a request arrives or before its reply does."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.servers import Server


class Line:
    """Forwards a unix socket to a server's.

    `rate` is the chance that a chunk is the connection's last; with a `word`, the chance that a request in
    which it stands arrives and its reply does not.
    """

    def __init__(self, target: Path, dice: random.Random) -> None:
        self.rate = 0.0
        self.word = b""
        self.cuts = 0
        self._target = target
        self._dice = dice

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until it ends, or is cut."""
        there_reader, there = await asyncio.open_unix_connection(self._target)
        ways = [
            asyncio.create_task(self._forward(reader, there, delivered=True)),
            asyncio.create_task(self._forward(there_reader, writer, delivered=False)),
        ]
        with suppress(asyncio.CancelledError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, there):
            end.close()

    async def _forward(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, delivered: bool) -> None:
        """Forward one direction. A request is at times delivered before the cut; a reply is lost by it."""
        with suppress(OSError):
            while chunk := await source.read(1 << 16):
                cut = self._dice.random() < self.rate
                if self.word:
                    cut = cut and delivered and self.word in chunk
                if not cut or (delivered and (self.word or self._dice.random() < 0.7)):
                    to.write(chunk)
                    await to.drain()
                if cut:
                    self.cuts += 1
                    return


@asynccontextmanager
async def bad_line(server: Server, dice: random.Random) -> AsyncIterator[tuple[str, Line]]:
    """Give the address of a bad line to a server, and the line."""
    with tempfile.TemporaryDirectory(prefix="hybrid-line-", dir="/tmp") as folder:
        line = Line(server.socket, dice)
        listening = await asyncio.start_unix_server(line.serve, f"{folder}/l.sock")
        try:
            yield f"unix://{folder}/l.sock", line
        finally:
            listening.close()
