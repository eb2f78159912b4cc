"""Order per key while workers are killed: for each account the trades run as they were sent, each once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Engine, select

from hybrid import App, Client, Settings
from hybrid.broker.shard import Store
from hybrid.inspect.actions import DISCARD, EDIT, Desk, Order
from hybrid.inspect.desk import Selection, selected
from hybrid.inspect.desk_log import Deed
from hybrid.inspect.failures import FailureView
from hybrid.inspect.ledger import ledger
from hybrid.streams.connection import cancelled
from tests.conftest import BINARIES
from tests.prove import trades
from tests.prove.conftest import FULL, rounds, until
from tests.prove.fleet import Fleet
from tests.servers import spawn

pytestmark = pytest.mark.prove
ACCOUNTS = 200


@dataclass
class Exchange:
    app: App
    store: Store
    client: Client
    fleet: Fleet
    engine: Engine

    def placed(self) -> dict[str, list[int]]:
        """What was placed, by account, in the order in which it was committed."""
        found: dict[str, list[int]] = defaultdict(list)
        with self.engine.connect() as connection:
            for account, n in connection.execute(
                select(trades.placed.c.account, trades.placed.c.n).order_by(trades.placed.c.seq)
            ):
                found[account].append(n)
        return found


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchange]:
    engine = trades.create_tables(tmp_path)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(
            spawn(BINARIES["valkey"], tmp_path / "server", extra_args=("--appendonly", "yes"))
        )
        values = {"lease_ms": 1000, "block_ms": 500, "tick_ms": 50, "directory": tmp_path}
        settings = Settings.load(redis_url=server.url, **values)
        environment = {f"HYBRID_{name.upper()}": str(value) for name, value in values.items()}
        environment |= {"HYBRID_REDIS_URL": server.url, "PROVE_APP": "tests.prove.trades"}
        app = trades.application(settings)
        client = await stack.enter_async_context(app.client())
        store = await stack.enter_async_context(app.store())
        await store.open()
        fleet = Fleet(tmp_path, environment)
        stack.callback(fleet.close)
        stack.callback(engine.dispose)
        yield Exchange(app, store, client, fleet, engine)


async def test_each_account_trades_as_it_ordered_while_workers_are_killed(
    exchange: Exchange, dice: Random
) -> None:
    """Three workers, one killed every few seconds; one trade in a hundred is wrong: a program mends it, or a
    person does at the desk, or gives it up.
    """
    number = 20_000 if FULL else 3_000
    sent = [trades.trade(f"a{dice.randrange(ACCOUNTS):03}", n) for n in range(number)]
    await exchange.fleet.start(count=3)
    await exchange.client.send_many(sent)
    person = asyncio.create_task(at_the_desk(exchange))
    killing = asyncio.create_task(kill_now_and_then(exchange, dice))
    try:
        await until("all trades are at an end", all_over, exchange, number, person, within=rounds(120, 900))
    finally:
        await cancelled([person, killing])
    expected: dict[str, list[int]] = defaultdict(list)
    for each in sent:
        if each.side != "GIVE":
            expected[each.account].append(each.n)
    assert exchange.placed() == expected
    for group in (await ledger(exchange.store, exchange.app.topology)).groups:
        assert (group.held, group.failed, group.later, group.pending, group.missing) == (0, 0, 0, 0, 0)
    keys, raw = exchange.store.shards[0].keys, exchange.store.shards[0].queries
    assert not any(await raw.exist([keys.gate("desk"), keys.gate("front"), keys.held("desk")]))


async def kill_now_and_then(exchange: Exchange, dice: Random) -> None:
    while True:
        await asyncio.sleep(dice.uniform(1.0, 3.0))  # any moment is as good
        dice.choice(exchange.fleet.living).kill9()
        exchange.fleet.tend()


async def at_the_desk(exchange: Exchange) -> None:
    """Mend what waits at the desk, or give it up, for ever."""
    store, topology = exchange.store, exchange.app.topology
    mending, giving_up = (Desk(store, topology, Deed("ada", action)) for action in (EDIT, DISCARD))
    while True:
        found = [view async for view in selected(store, topology, Selection())]
        edits = [Order(view, mended(view)) for view in found if view.data["side"] == "HOLD"]
        await mending.act(edits)
        await giving_up.act([Order(view) for view in found if view.data["side"] == "GIVE"])
        other = [view for view in found if view.data["side"] in trades.SIDES]
        assert not other, f"what the program mends is at the desk: {other}"
        await asyncio.sleep(0.05)


def mended(view: FailureView) -> trades.PlaceTrade:
    return trades.PlaceTrade(**{**view.data, "side": "BUY"})


async def all_over(exchange: Exchange, number: int, person: asyncio.Task[None]) -> bool:
    assert not person.done(), person.exception()
    keys = exchange.store.shards[0].keys
    counters = await exchange.store.shards[0].queries.hash(keys.counters)
    return sum(int(counters.get(name, 0)) for name in (b"settled:desk", b"discarded:desk")) >= number
