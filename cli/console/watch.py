"""The console: looks at the store again and again, listens to keys, and draws."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, replace

from rich.console import Console, RenderableType
from rich.live import Live

from cli.console.details import detail
from cli.console.picture import Size, picture, plain
from cli.console.state import State, pressed
from cli.console.terminal import Keys
from cli.console.views import ALL, GROUP, rows_of
from cli.desk.acting import line
from cli.options import user
from cli.output import clock, out
from hybrid import App
from hybrid.broker.shard import Store
from hybrid.errors import HybridError, ServerError
from hybrid.inspect.actions import ALREADY, RETRY, Desk, Order
from hybrid.inspect.desk_log import Deed
from hybrid.inspect.failures import named
from hybrid.inspect.snapshot import Sampler, Snapshot

PAUSE = 1.0
"""Seconds between two tries while the server is away."""


@dataclass
class Watch:
    """A console that is open."""

    app: App
    store: Store
    sampler: Sampler
    interval: float
    state: State
    snapshot: Snapshot
    may_act: bool = False
    body: RenderableType | None = None
    """What the open row shows."""
    said: str = ""
    _opened: str = ""

    async def run(self) -> None:
        """Show the console on this terminal until it is left."""
        console = Console()
        keys = Keys()
        changed = asyncio.Event()
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed.set)
        with keys.listening(), Live(console=console, screen=True, auto_refresh=False) as live:
            tasks = [
                asyncio.create_task(self._look(changed)),
                asyncio.create_task(self._listen(keys, changed)),
            ]
            try:
                while not self.state.quit:
                    self._draw(live)
                    waiting = asyncio.create_task(changed.wait())
                    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
                    changed.clear()
                    for task in tasks:
                        if task.done():
                            task.result()
            finally:
                for task in tasks:
                    task.cancel()

    async def lines(self) -> None:
        """Print a line per look, for where there is no terminal."""
        while True:
            out(f"{clock(self.snapshot.at)}  {plain(self.snapshot)}")
            await asyncio.sleep(self.interval)
            await self._refresh()

    def _draw(self, live: Live) -> None:
        width, height = os.get_terminal_size(sys.stdout.fileno())
        live.console.size = (width, height)
        live.update(
            picture(self.snapshot, self.state, Size(width, height), self.body, self.said), refresh=True
        )

    async def _look(self, changed: asyncio.Event) -> None:
        while True:
            await asyncio.sleep(self.interval)
            if not self.state.paused:
                await self._refresh()
                changed.set()

    async def _refresh(self) -> None:
        """Take a snapshot; while the server is away the last one stays, and the foot says so."""
        try:
            self.snapshot = await self.sampler.take()
            self.said = ""
        except ServerError as error:
            self.said = str(error)

    async def _listen(self, keys: Keys, changed: asyncio.Event) -> None:
        while True:
            key = await keys.queue.get()
            rows = rows_of(ALL[self.state.view], self.snapshot, self.state.filter)
            self.state = pressed(self.state, key, [row.key for row in rows])
            if self.state.retrying:
                await self._retry(self.state.retrying)
                self.state = replace(self.state, retrying="")
            if self.state.opened != self._opened:
                self._opened, self.body = self.state.opened, None
                changed.set()
                if self._opened:
                    await self._open()
            changed.set()

    async def _retry(self, id: str) -> None:
        """Send a failure back to the group in which it failed."""
        if id.startswith(GROUP):
            self.said = f"many go back by stages: `hybrid desk retry --{id} --stages 1,5,20,100`"
            return
        if not self.may_act:
            self.said = "this console only looks: `hybrid watch --allow-actions` may send back"
            return
        try:
            desk = Desk(self.store, self.app.topology, Deed(user(), RETRY, "in hybrid watch"))
            orders = [Order(view) for view in await named(self.store, self.app.topology, id)]
            said = [line(outcome) for outcome in await desk.act(orders)]
            self.said = "; ".join(said) or f"{id}  {ALREADY}"
            await self._refresh()
        except HybridError as error:
            self.said = str(error)

    async def _open(self) -> None:
        try:
            self.body = await detail(self.app, self.store, self.snapshot, self.state.view, self._opened)
        except HybridError as error:
            self.said = str(error)
