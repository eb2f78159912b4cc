"""The inbox: makes a handler's database work safe against a second execution (law 5).

    with context.transaction() as session:
        session.add(Payment(...))
        return PaymentApplied(...)

The inbox row (message id and group) is inserted first, so that a second execution of the same message
blocks on it. The business rows and the reply are committed together when the handler has returned; only
then comes the settle (last participant support). A second execution finds the row and ends with the stored
reply; its body does not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from hybrid.codec import pack
from hybrid.context import Context
from hybrid.messages import Event
from hybrid.transactions import Replied, Transactional

metadata = MetaData()
inbox = Table(
    "hybrid_inbox",
    metadata,
    Column("message_id", String(128), primary_key=True),
    Column("component", String(60), primary_key=True),
    Column("reply", LargeBinary),
    Column("at", DateTime(timezone=True), nullable=False, index=True),
)
"""Which messages a component has handled, and what it replied."""

# Made once, and run on the connection: built for each message and run by its session they cost four times.
_MINE = (inbox.c.message_id == bindparam("id")) & (inbox.c.component == bindparam("by"))
_ENTER = insert(inbox).values(message_id=bindparam("id"), component=bindparam("by"), at=bindparam("now"))
_STORED = select(inbox.c.reply).where(_MINE)
_REPLY = update(inbox).where(_MINE).values(reply=bindparam("packed"))


class Database(Transactional):
    """A database in which handlers have transactions: an SQLAlchemy Engine, or an AsyncEngine for async
    handlers.
    """

    def __init__(self, engine: Engine | AsyncEngine) -> None:
        self.engine = engine

    def create(self) -> None:
        """Create the inbox table where it is missing (of a synchronous engine)."""
        assert isinstance(self.engine, Engine)
        metadata.create_all(self.engine)

    async def acreate(self) -> None:
        """Create the inbox table where it is missing (of an async engine)."""
        assert isinstance(self.engine, AsyncEngine)
        async with self.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    def forget(self, older_than: timedelta) -> int:
        """Delete inbox rows older than this; return how many. Keep them longer than a message may wait for
        a repair.
        """
        assert isinstance(self.engine, Engine)
        with Session(self.engine) as session:
            result = session.execute(delete(inbox).where(inbox.c.at < datetime.now(UTC) - older_than))
            session.commit()
            return int(getattr(result, "rowcount", 0))

    def transaction(self, component: str, context: Context) -> Transaction:
        """Return the transaction of one delivery."""
        return Transaction(self.engine, component, context)


class Transaction:
    """One delivery's transaction: `with` in `def` handlers, `async with` in `async def` ones. Gives the
    session.
    """

    def __init__(self, engine: Engine | AsyncEngine, component: str, context: Context) -> None:
        self._engine = engine
        self._context = context
        self._row = {"id": context.envelope.id, "by": component}
        self._session: Any = None

    def __enter__(self) -> Session:
        assert isinstance(self._engine, Engine), "an async engine needs `async with`"
        self._session = session = Session(self._engine, expire_on_commit=False)
        try:
            session.connection().execute(_ENTER, {**self._row, "now": datetime.now(UTC)})
        except IntegrityError:
            session.rollback()
            stored = session.execute(_STORED, self._row).scalar_one()
            session.close()
            raise Replied(stored) from None
        except BaseException:
            session.close()
            raise
        self._context.open_transaction = self
        return session

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self.roll_back()

    async def __aenter__(self) -> AsyncSession:
        assert isinstance(self._engine, AsyncEngine), "a synchronous engine needs `with`, in a `def` handler"
        self._session = session = AsyncSession(self._engine, expire_on_commit=False)
        try:
            await (await session.connection()).execute(_ENTER, {**self._row, "now": datetime.now(UTC)})
        except IntegrityError:
            await session.rollback()
            stored = (await session.execute(_STORED, self._row)).scalar_one()
            await session.close()
            raise Replied(stored) from None
        except BaseException:
            await session.close()
            raise
        self._context.open_transaction = self
        return session

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            await self.aroll_back()

    def commit(self, reply: Event | None, published: Sequence[Event]) -> None:
        """Store the reply and commit. The handler has returned."""
        with self._session as session:
            session.flush()
            session.connection().execute(_REPLY, self._reply(reply, published))
            session.commit()

    async def acommit(self, reply: Event | None, published: Sequence[Event]) -> None:
        """Store the reply and commit. The handler has returned."""
        async with self._session as session:
            await session.flush()
            await (await session.connection()).execute(_REPLY, self._reply(reply, published))
            await session.commit()

    def roll_back(self) -> None:
        """Undo everything, the inbox row too. The handler has failed."""
        self._context.open_transaction = None
        self._session.rollback()
        self._session.close()

    async def aroll_back(self) -> None:
        """Undo everything, the inbox row too. The handler has failed."""
        self._context.open_transaction = None
        await self._session.rollback()
        await self._session.close()

    def _reply(self, reply: Event | None, published: Sequence[Event]) -> dict[str, Any]:
        events = [
            event and [event.type_name, pack(event.__dict__), event.type_version]
            for event in (reply, *published)
        ]
        return {**self._row, "packed": pack(events)}
