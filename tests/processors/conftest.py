"""The bookstore, running, for tests of its processors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from hybrid import App, Client, Context, Settings
from hybrid.envelope import Envelope
from hybrid.inbox import Database
from processors.database import engine as engine_resource
from processors.inventory import shelf
from processors.mailbox import FolderMailbox
from tests.processors.shop import bookstore


@dataclass(frozen=True)
class Shop:
    """The bookstore, running."""

    app: App
    client: Client

    async def ends(self, *events: Any) -> list[Any]:
        """Send these events, and return how they end."""
        receipts = [await self.client.send(event) for event in events]
        return [await self.client.wait(receipt.id, timeout=30) for receipt in receipts]


@pytest.fixture
async def shop(fresh: str, settings: Settings) -> AsyncIterator[Shop]:
    """The bookstore, running, with a database and an outbox of its own."""
    app = bookstore(fresh, settings)
    async with app.running() as client:
        yield Shop(app, client)


class Desk:
    """Calls handlers as the runtime does, without a server: in a transaction that commits with the reply.

    `published` is what the last one published.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.mailbox = FolderMailbox(settings.directory / "outbox")
        self.published: list[Any] = []
        self._database = Database(engine)

    def call(
        self, handler: Any, message: Any, id: str, *, attempt: int = 1, run: int = 1, **given: Any
    ) -> Any:
        """Return what the handler replies. Raises Replied when it has handled this id before."""
        envelope = Envelope(
            id, message.type_name, correlation=id, time=1_700_000_000_000, attempt=attempt, run=run
        )
        context = Context(
            envelope, handler.__name__, lambda it: self._database.transaction(handler.__module__, it)
        )
        try:
            reply = handler(message, context, **given)
        except BaseException:
            if context.open_transaction:
                context.open_transaction.roll_back()
            raise
        if context.open_transaction:
            context.open_transaction.commit(reply, context.published)
        self.published = list(context.published)
        return reply

    @contextmanager
    def rows(self) -> Iterator[Session]:
        """Look at the database."""
        with Session(self.engine) as session:
            yield session


@pytest.fixture
def desk(tmp_path: Any) -> Iterator[Desk]:
    """A desk on a database of its own, with a full shelf."""
    settings = Settings.load(redis_url="unix:///nowhere", directory=tmp_path)
    opened = contextmanager(engine_resource.function)
    with opened(settings) as engine:
        shelf.function(engine)
        yield Desk(engine, settings)
