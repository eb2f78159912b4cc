"""An application: components, resources and messages under one name, and the ways to run it and to send to
it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from hybrid.broker.shard import Store
from hybrid.client import Client
from hybrid.messages import Message
from hybrid.processor import checked_name
from hybrid.resources import Resource
from hybrid.runtime.worker import Worker
from hybrid.server import open_embedded
from hybrid.settings import Settings
from hybrid.topology import Component, Topology

T = TypeVar("T")


class App:
    """An application. Its components are checked, as a whole, when it is first used; errors are
    ApplicationErrors.
    """

    def __init__(
        self,
        name: str,
        components: Iterable[Component],
        *,
        resources: Iterable[Resource] = (),
        messages: Iterable[type[Message]] = (),
        settings: Settings | None = None,
    ) -> None:
        self.name = checked_name(name)
        self.components = list(components)
        self.resources = list(resources)
        self.messages = list(messages)
        self.settings = settings or Settings.load()
        self.folder: Path | None = None
        """The folder in which a new file with a processor is found; None when its components are listed."""

    @cached_property
    def topology(self) -> Topology:
        """The components, checked. Raises ApplicationError."""
        return Topology(self.components, self.messages)

    def extended(
        self,
        components: Sequence[Component],
        *,
        resources: Sequence[Resource] = (),
        messages: Sequence[type[Message]] = (),
    ) -> App:
        """Return this application with more in it; what it has already counts once."""
        made = App(
            self.name,
            _joined(self.components, components),
            resources=_joined(self.resources, resources),
            messages=_joined(self.messages, messages),
            settings=self.settings,
        )
        made.folder = self.folder
        return made

    def client(self) -> Client:
        """Return a client, to be opened: `async with app.client() as client`."""
        return Client(self)

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[Client]:
        """Run a worker (of all components, or those named) in this process, and give a client for it."""
        async with (
            self.client() as client,
            self.store() as store,
            Worker(self.topology, self.resources, store, names),
        ):
            yield client

    @asynccontextmanager
    async def worker(self, names: Sequence[str] = ()) -> AsyncIterator[Worker]:
        """Run a worker (of all components, or those named) in this process."""
        topology = self.topology
        async with self.store() as store, Worker(topology, self.resources, store, names) as worker:
            yield worker

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """Connect to the application's store; start the embedded server when no address is set."""
        opened = server(self.settings)
        url = await asyncio.to_thread(opened.__enter__)
        try:
            store = Store(self.name, self.settings, url)
            try:
                yield store
            finally:
                await store.close()
        finally:
            await asyncio.to_thread(opened.__exit__, None, None, None)


def _joined(first: Sequence[T], second: Sequence[T]) -> list[T]:
    """Return both, the same thing once."""
    return [*first, *(one for one in second if all(one is not known for known in first))]


@contextmanager
def server(settings: Settings) -> Iterator[str]:
    """Give the address of the server: the one that is set, else the embedded one, for as long as somebody
    needs it.
    """
    if settings.redis_url:
        yield settings.redis_url
        return
    with open_embedded(settings.directory / "server") as embedded:
        yield embedded.url
