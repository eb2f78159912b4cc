"""What every command is given: the application and where its store is, from the options of `hybrid` and
HYBRID_*.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import typer
import uvloop

from hybrid import App, Settings, discovery
from hybrid.broker.shard import Store

T = TypeVar("T")
AGAIN = 1.0
"""Seconds after which work that was interrupted, and goes on, is interrupted again."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The options given on the command line (None for those that are not); the rest comes from the
    environment.
    """

    app: str | None = None
    redis_url: str | None = None
    domain: str | None = None
    directory: Path | None = None
    debug: bool = False
    loaded: list[App] = field(default_factory=list, repr=False, compare=False)

    @property
    def given(self) -> dict[str, Any]:
        """The options as settings; None is no change."""
        return {
            "app": self.app,
            "redis_url": self.redis_url,
            "domain": self.domain,
            "directory": self.directory,
        }

    @property
    def settings(self) -> Settings:
        """The settings in force. Raises SettingsError."""
        return Settings.load(**self.given)

    def application(self) -> App:
        """Return the application, checked. Raises ApplicationError, SettingsError."""
        if not self.loaded:
            spec = self.settings.app
            if spec != discovery.BOOKSTORE and sys.path[0] != str(Path.cwd()):
                sys.path.insert(0, str(Path.cwd()))
            self.loaded.append(discovery.load(spec, **self.given))
        app = self.loaded[0]
        _ = app.topology  # checks it
        return app

    def words(self) -> list[str]:
        """Return the options as words of a command line, for a child process."""
        pairs = [(name, value) for name, value in self.given.items() if value is not None]
        words = [word for name, value in pairs for word in (f"--{name.replace('_', '-')}", str(value))]
        return [*words, "--debug"] if self.debug else words

    @asynccontextmanager
    async def store(self) -> AsyncIterator[tuple[App, Store]]:
        """Give the application and its store, to look at it. Raises StoreMismatch when the store is another
        kind.
        """
        app = self.application()
        async with app.store() as store:
            if await store.shards[0].queries.hash(store.shards[0].keys.store):
                await store.open()
            yield app, store


def environment(ctx: typer.Context) -> Environment:
    """Return the environment of a command."""
    found = ctx.find_root().obj
    assert isinstance(found, Environment)
    return found


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's work on an event loop. Ctrl-C cancels it; when it has ended, KeyboardInterrupt is
    raised.
    """
    return uvloop.run(_interruptible(work()))


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Await work; SIGINT cancels it, again and again: redis-py can swallow a cancellation (cpython 86296)."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        if not task.done():
            task.cancel()
            loop.call_later(AGAIN, interrupt)

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
