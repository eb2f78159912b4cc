"""The application of docs/desk.md: trades go to an exchange, which knows a symbol once it is listed."""

from pathlib import Path

from hybrid import HARD, Command, Event, Flow, Mediator, Processor, Secret, SimpleMediator


class PlaceTrade(Event, key="account"):
    account: str
    side: str
    symbol: str
    shares: str
    pin: Secret[str]


class ExecuteTrade(Command, key="account"):
    account: str
    side: str
    symbol: str
    shares: str
    pin: Secret[str]


class TradeExecuted(Event):
    account: str
    shares: int


class TradeDone(Event):
    account: str


front = SimpleMediator("front")
trades = Mediator("trades", handles=HARD)
exchange = Processor("exchange")


@front.classify(PlaceTrade, HARD)
def by_habit(event: PlaceTrade):
    return HARD


@trades.flow(PlaceTrade)
async def trade(event: PlaceTrade, flow: Flow) -> TradeDone:
    await flow.do(ExecuteTrade(**dict(event)))
    return TradeDone(account=event.account)


@exchange.on(ExecuteTrade)
async def execute(command: ExecuteTrade) -> TradeExecuted:
    if command.symbol == "XYZ" and not Path("listed").exists():
        raise LookupError(f"{command.symbol} is not listed")
    return TradeExecuted(account=command.account, shares=int(command.shares))
