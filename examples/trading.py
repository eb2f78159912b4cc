"""A trading desk: baskets of trades, errors mended by program or by a person, the order of accounts kept.

    python examples/trading.py                                             the story, in one go

    hybrid --app examples/trading.py run                                   or live: in one terminal
    hybrid --app examples/trading.py send place-trade --file examples/basket.csv      in another
    hybrid --app examples/trading.py desk                                  what only a person can mend
    hybrid --app examples/trading.py held list                             who waits for that
    hybrid --app examples/trading.py desk edit --set side=BUY --type execute-trade    mend it, and they go on

The basket has `8756 SHARES` where a number belongs: `trade-repair` strips the word and sends the trade back.
It has a side that nobody knows, too: that trade waits at the desk. Trades of the same account wait behind it,
in their order; no other account does. (The case is that of Richards and Ford, *Fundamentals of Software
Architecture*, the workflow event pattern.)
"""

import asyncio
import csv
import tempfile
from pathlib import Path

from hybrid import (
    App,
    Command,
    Event,
    Failed,
    Processor,
    RetryPolicy,
    Settings,
    SimpleMediator,
    WorkflowProcessor,
)

BASKET = Path(__file__).with_name("basket.csv")


class PlaceTrade(Event, key="account"):
    """A line of a basket, as it comes from outside: nothing about it is sure."""

    account: str
    side: str
    symbol: str
    shares: str


class ExecuteTrade(Command, key="account"):
    account: str
    side: str
    symbol: str
    shares: str


class TradeExecuted(Event, key="account"):
    account: str
    side: str
    symbol: str
    shares: int


class UnknownSide(Exception):
    """Neither BUY nor SELL."""


front = SimpleMediator("front")
trading = Processor("trading")
fixer = WorkflowProcessor("trade-repair")
ledger = Processor("ledger")


@front.on(PlaceTrade, ordered_by="account")
def to_the_floor(event: PlaceTrade) -> ExecuteTrade:
    return ExecuteTrade(**event.model_dump())


@trading.on(ExecuteTrade, ordered_by="account", retry=RetryPolicy(attempts=2, first_ms=50))
async def execute(command: ExecuteTrade) -> TradeExecuted:
    if command.side not in ("BUY", "SELL"):
        raise UnknownSide(command.side)
    return TradeExecuted(**command.model_dump() | {"shares": int(command.shares)})


@fixer.repairs(ExecuteTrade, on=ValueError)
def strip_the_word(failed: Failed[ExecuteTrade]) -> ExecuteTrade | None:
    trade = failed.message
    number, _, word = trade.shares.partition(" ") if trade else ("", "", "")
    return trade.model_copy(update={"shares": number}) if trade and word.upper() == "SHARES" else None


executed: list[TradeExecuted] = []
enough = asyncio.Event()


@ledger.on(TradeExecuted)
async def note(event: TradeExecuted) -> None:
    executed.append(event)
    if len(executed) == 8:  # of ten; one is at the desk, and one waits behind it
        enough.set()


def application(settings: Settings | None = None) -> App:
    """Return the application."""
    return App("trading", [front, trading, fixer, ledger], settings=settings)


app = application()


async def main() -> None:
    with BASKET.open() as lines, tempfile.TemporaryDirectory() as directory:
        basket = [PlaceTrade(**row) for row in csv.DictReader(lines)]
        async with application(Settings.load(directory=Path(directory))).running() as client:
            await client.send_many(basket)
            await asyncio.wait_for(enough.wait(), 20)
    for account in dict.fromkeys(trade.account for trade in basket):
        trades = [f"{t.side} {t.shares:,} {t.symbol}" for t in executed if t.account == account]
        print(f"{account}  {', then '.join(trades) or 'waits for a person: hybrid desk'}")


if __name__ == "__main__":
    asyncio.run(main())
