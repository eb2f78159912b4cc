"""A trading application, for workers that are killed: trades of one account run in the order sent, each once.

What is wrong with a trade hangs on its number, so that the end of each is known beforehand.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, insert

from hybrid import (
    App,
    Command,
    Context,
    Event,
    Failed,
    Processor,
    RetryPolicy,
    SimpleMediator,
    WorkflowProcessor,
    resource,
)
from hybrid.inbox import Database, metadata
from hybrid.settings import Settings
from tests.prove.shop import open_engine

WORK = 0.002
"""Seconds that a trade takes at most."""
SIDES = ("BUY", "SELL")


class TradeOrdered(Event, key="account"):
    account: str
    n: int
    side: str
    shares: str


class PlaceTrade(Command, key="account"):
    account: str
    n: int
    side: str
    shares: str


class TradePlaced(Event, key="account"):
    account: str
    n: int


class UnknownSide(Exception):
    pass


rows = MetaData()
placed = Table(
    "placed",
    rows,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("account", String, nullable=False),
    Column("n", Integer, nullable=False),
)
"""No unique columns: what is done twice shall be seen twice."""
front = SimpleMediator("front")
desk = Processor("desk")
fixer = WorkflowProcessor("trade-repair")


def trade(account: str, n: int) -> TradeOrdered:
    """Return a trade: one in a hundred is wrong."""
    side = "HOLD" if n % 300 == 99 else "GIVE" if n % 300 == 199 else SIDES[n % 2]
    shares = f"{n + 1} SHARES" if n % 300 == 299 else str(n + 1)
    return TradeOrdered(account=account, n=n, side=side, shares=shares)


@front.on(TradeOrdered, ordered_by="account")
def to_the_desk(event: TradeOrdered):
    return PlaceTrade(**event.model_dump())


@desk.on(PlaceTrade, ordered_by="account", concurrency=40, retry=RetryPolicy(attempts=2, first_ms=20))
def place(command: PlaceTrade, context: Context) -> TradePlaced:
    time.sleep(random.uniform(0, WORK))
    if command.side not in SIDES:
        raise UnknownSide(command.side)
    int(command.shares)
    with context.transaction() as session:
        session.execute(insert(placed).values(account=command.account, n=command.n))
    return TradePlaced(account=command.account, n=command.n)


@fixer.repairs(PlaceTrade, on=ValueError)
def strip(failed: Failed[PlaceTrade]) -> PlaceTrade | None:
    trade = failed.message
    return trade.model_copy(update={"shares": trade.shares.removesuffix(" SHARES")}) if trade else None


def create_tables(directory: Path) -> Engine:
    """Make the database, once, before the workers come."""
    engine = open_engine(directory)
    metadata.create_all(engine)
    rows.create_all(engine)
    return engine


@resource
def database(settings: Settings) -> Iterator[Database]:
    engine = open_engine(settings.directory)
    yield Database(engine)
    engine.dispose()


def application(settings: Settings) -> App:
    """Return the application with these settings."""
    return App("trades", [front, desk, fixer], resources=[database], settings=settings)
