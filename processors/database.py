"""The database that the bookstore's processors share; each has its own tables in it, in its own file.

SQLite in the data directory, or whatever SQLAlchemy can reach: BOOKSTORE_DATABASE_URL=postgresql+psycopg://…
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, Dialect, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeDecorator

from hybrid import Settings, days, inbox, resource
from hybrid.errors import ApplicationError
from hybrid.inbox import Database

KEPT_DAYS = 30
"""How long the inbox remembers what was handled: longer than a message may wait for its repair."""
BUSY_SECONDS = 30
"""How long a process waits while another one writes (SQLite)."""


class Base(DeclarativeBase):
    """The base of the processors' tables."""


class Money(TypeDecorator[Decimal]):
    """An amount, kept exactly, in cents."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """Return the cents to store."""
        return None if value is None else int(value.scaleb(2))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the stored cents as an amount."""
        return None if value is None else Decimal(value).scaleb(-2)


@resource
def engine(settings: Settings) -> Iterator[Engine]:
    """Open the database, and create the tables and columns that are missing; close it at the end."""
    opened = open_engine(settings)
    with opened.begin() as connection:
        if opened.dialect.name == "postgresql":  # one process at a time; SQLite has its BEGIN IMMEDIATE
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('bookstore'))"))
        Base.metadata.create_all(connection)
        _add_columns(connection)
        inbox.metadata.create_all(connection)
    yield opened
    opened.dispose()


@resource
def database(engine: Engine) -> Database:
    """Return the database in which handlers have their transactions."""
    opened = Database(engine)
    opened.forget(days(KEPT_DAYS))
    return opened


def database_url(settings: Settings) -> URL:
    """Return where the database is."""
    given = os.environ.get("BOOKSTORE_DATABASE_URL")
    return (
        make_url(given) if given else URL.create("sqlite", database=str(settings.directory / "bookstore.db"))
    )


def open_engine(settings: Settings) -> Engine:
    """Return an engine on the database; the caller disposes of it."""
    url = database_url(settings)
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_size=settings.threads)
    settings.directory.mkdir(parents=True, exist_ok=True)
    return _sqlite(url)


def open_to_read(settings: Settings) -> Engine:
    """Return an engine that changes nothing, and waits for nobody who writes; the caller disposes of it.

    Raises ApplicationError when there is no database yet.
    """
    url = database_url(settings)
    if url.get_backend_name() != "sqlite":
        return create_engine(url)
    path = Path(url.database or "").absolute()
    if not path.exists():
        raise ApplicationError(f"no database {path}: nothing has been run here yet")
    return create_engine(URL.create("sqlite", database=f"file:{path}", query={"mode": "ro", "uri": "true"}))


def _add_columns(connection: Connection) -> None:
    """Add the columns that tables of an older program lack; such a column has a default on the server."""
    there = inspect(connection)
    for table in Base.metadata.sorted_tables:
        known = {column["name"] for column in there.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                made = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {made}"))


def _sqlite(url: URL) -> Engine:
    """Return an engine on SQLite with one connection, for which the threads of a process wait in turn.

    SQLite has one writer anyway, and those who wait in its busy timeout sleep and try again, out of turn.
    """
    arguments = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = create_engine(
        url, connect_args=arguments, pool_size=1, max_overflow=0, pool_timeout=2 * BUSY_SECONDS
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = (
            None  # transactions begin where `begin` says, not where the driver guesses
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE"
        )  # a lock taken later could fail at once, without waiting

    return engine
