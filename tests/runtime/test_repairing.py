"""Workflow processors at work: what they mend, discard and can't tell, in flows and outside; their limits."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from hybrid import (
    HARD,
    SIMPLE,
    Command,
    CommandFailed,
    Context,
    Discard,
    Event,
    Failed,
    Flow,
    Mediator,
    Processor,
    RetryPolicy,
    SimpleMediator,
    WorkflowProcessor,
    resource,
    seconds,
)  # fmt: skip
from hybrid.app import App
from hybrid.broker.failures import Culprit, failure_of
from hybrid.codec import unpack
from hybrid.errors import ApplicationError, UndecodableMessage
from hybrid.inspect.flows import flow as flow_view
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.status import status
from hybrid.inspect.trace import trace
from hybrid.mediator.record import Result
from hybrid.repair.mending import MOST
from tests.runtime.world import until, working

ONCE = RetryPolicy(attempts=1)
ROOT = Path(__file__).parents[2]


class BasketPlaced(Event, key="account"):
    account: str
    line: str


class PlaceTrade(Command, key="account"):
    account: str
    line: str


class CheckTrade(Command, key="account"):
    account: str
    shares: int


class TradePlaced(Event, key="account"):
    account: str
    shares: int


class BasketDone(Event):
    shares: int


class Symbols(dict):
    """A resource."""


class NotANumber(ValueError):
    """The shares of a trade are no number."""


def placing(broken=()):
    """A processor that places trades, as `account,side,symbol,shares`."""
    trade = Processor("trade")

    @trade.on(PlaceTrade, retry=ONCE)
    async def place(command: PlaceTrade) -> TradePlaced:
        shares = command.line.split(",")[3]
        if not shares.isdigit() or command.line in broken:
            raise NotANumber(f"{shares!r} is no number")
        return TradePlaced(account=command.account, shares=int(shares))

    return trade


def stripping(calls=None, **options):
    """A workflow processor that strips the word from the shares."""
    fixer = WorkflowProcessor("trade-repair")

    @fixer.repairs(PlaceTrade, on=NotANumber, **options)
    def strip(failed: Failed[PlaceTrade]) -> PlaceTrade | Discard | None:
        if calls is not None:
            calls.append(failed)
        if "FORGET" in failed.message.line:
            return Discard("the account is closed")
        if not failed.message.line.endswith(" SHARES"):
            return None
        return failed.message.model_copy(update={"line": failed.message.line.removesuffix(" SHARES")})

    return fixer


def repairing(answer, on=NotANumber, message=PlaceTrade, **options):
    """A workflow processor that does just this."""
    fixer = WorkflowProcessor("trade-repair")
    fixer.repairs(message, on=on, **options)(answer)
    return fixer


def noting(calls):
    """A repair function that only notes what it is given."""

    def note(failed: Failed):
        calls.append(failed)

    return note


def basket(**options):
    """A flow that places one trade."""
    front, boss = SimpleMediator("front"), Mediator("boss", handles=HARD)

    @front.classify(BasketPlaced, HARD)
    def hard(event):
        return HARD

    @boss.flow(BasketPlaced)
    async def place(event: BasketPlaced, flow: Flow) -> BasketDone:
        try:
            placed = await flow.do(PlaceTrade(account=event.account, line=event.line), **options)
        except CommandFailed as error:
            return BasketDone(shares=-len(error.reason))
        except Exception as error:
            assert "not acknowledged" in str(error)
            return BasketDone(shares=0)
        return BasketDone(shares=placed.shares)

    return front, boss


GOOD, BAD = "2WE35HF6DHF,BUY,AAPL,8756", "2WE35HF6DHF,BUY,AAPL,8756 SHARES"
UNKNOWN, CLOSED = "2WE35HF6DHF,BUY,AAPL,many", "2WE35HF6DHF,BUY,AAPL,FORGET"


def order(line=BAD, account="2WE35HF6DHF"):
    return PlaceTrade(account=account, line=line)


async def tell(app: App, world, *commands, **facts):
    """Put commands on their queues and into the books."""
    await world.tell(*commands, **facts)
    for command in commands:
        world.raw.hincrby(world.keys.counters, f"entered:command:{command.type_name}", 1)


async def balanced(app: App):
    """Look at the books, which balance; return those of `trade`."""
    async with app.store() as store:
        books = await ledger(store, app.topology)
        assert books.balanced, books
        assert await loose_flows(store, app.topology) == []
        return next(group for group in books.groups if group.group == "trade")


def at_the_desk(world, note):
    """The one failure that waits for a person, with this note."""
    (failure,) = world.failures("trade")
    assert failure.note == note
    return failure


async def test_a_failure_goes_to_the_workflow_processor_and_comes_back_mended(world):
    calls = []
    trade, fixer = placing(), stripping(calls)
    app = world.app(trade, fixer)
    await tell(app, world, order(), correlation="basket-1", trace="00-ab-cd-01", origin="c-first")
    async with app.running():
        await until(lambda: world.counter("settled:trade") == 1)
    (failed,) = calls
    assert failed.message == order()
    assert failed.fields == {"account": "2WE35HF6DHF", "line": BAD}
    assert unpack(failed.data) == failed.fields
    assert (failed.error, failed.reason) == (
        "tests.runtime.test_repairing.NotANumber",
        "'8756 SHARES' is no number",
    )
    assert (failed.handler, failed.attempts, failed.envelope.id) == ("trade.place", 1, "c0")
    (placed,) = world.broadcasts(TradePlaced)
    assert (placed.correlation, placed.trace, placed.key) == ("basket-1", "00-ab-cd-01", "2WE35HF6DHF")
    assert placed.cause not in ("c0", "")
    assert [(e.component, e.outcome, e.id) for e in world.log()] == [
        ("trade", "in repair", "c0"),
        ("trade-repair", "repaired", "c0"),
        ("trade", "done", placed.cause),
    ]
    assert [e.cause for e in world.log()] == ["", "", "c0"]
    assert world.failures("trade") == []
    books = await balanced(app)
    assert (books.entered, books.settled, books.repair, books.failed) == (1, 1, 0, 0)


async def test_what_goes_back_is_linked_to_the_original_and_keeps_what_stood_beside_it(world):
    trade, fixer = placing(), stripping()
    app = world.app(trade, fixer)
    await tell(app, world, order(), origin="c-first", time=1_700_000_000_000)
    queue = world.keys.command("place-trade")
    ((entry, fields),) = world.raw.xrange(queue)
    world.raw.xdel(queue, entry)
    world.raw.xadd(queue, {**fields, b"gate": b"kept"})
    async with working(app, "trade"):
        await until(lambda: world.raw.xlen(world.keys.repair("trade-repair", "trade")))
    async with working(app, "trade-repair"):
        await until(lambda: world.raw.xlen(world.keys.own("trade")))
    ((_, fields),) = world.raw.xrange(world.keys.own("trade"))
    assert fields.pop(b"id") != b"c0"
    assert unpack(fields.pop(b"data"))["line"] == GOOD
    assert fields.pop(b"mended").startswith(b"trade-repair\ttests.runtime.test_repairing.NotANumber in ")
    assert fields == {
        b"type": b"place-trade",
        b"key": b"2WE35HF6DHF",
        b"cause": b"c0",
        b"origin": b"c-first",
        b"source": b"trade-repair",
        b"time": b"1700000000000",
        b"attempt": b"1",
        b"gate": b"kept",
    }
    assert (await balanced(app)).waiting == 1


async def test_the_next_message_goes_on_at_once(world):
    release = asyncio.Event()
    trade = placing()

    async def slow(failed: Failed):
        await release.wait()
        return order(GOOD)

    app = world.app(trade, repairing(slow))
    await tell(app, world, order(), *(order(GOOD) for _ in range(20)))
    async with app.running():
        await until(lambda: world.counter("settled:trade") == 20)
        books = await balanced(app)
        assert (books.repair, books.waiting, books.pending) == (1, 0, 0)
        async with app.store() as store:
            (group,) = [g for g in (await status(store, app.topology)).groups if g.name == "trade"]
            assert (group.repair, group.problem) == (1, "")
        release.set()
        await until(lambda: world.counter("settled:trade") == 21)
    await balanced(app)


async def test_what_no_fixer_is_for_goes_to_the_desk_as_ever(world):
    trade, calls = placing(), []
    fixer = repairing(noting(calls), on=KeyError)
    app = world.app(trade, fixer)
    await tell(app, world, order())
    async with app.running():
        await world.failure("trade")
    assert at_the_desk(world, "").error.endswith("NotANumber")
    assert calls == []
    await balanced(app)


async def test_the_function_for_the_nearest_error_is_called(world):
    trade, fixer = placing(), WorkflowProcessor("trade-repair")

    @fixer.repairs(PlaceTrade)
    def anything(failed: Failed):
        raise AssertionError("not reached")

    @fixer.repairs(PlaceTrade, on=(ValueError, KeyError))
    async def values(failed: Failed):
        return order(GOOD)

    await world.tell(order())
    async with world.running(trade, fixer):
        await until(lambda: world.counter("settled:trade") == 1)


async def test_what_does_not_validate_is_given_as_it_came(world):
    trade, calls = Processor("trade"), []

    @trade.on(CheckTrade)
    async def check(command: CheckTrade) -> TradePlaced:
        return TradePlaced(account=command.account, shares=command.shares)

    async def number(failed: Failed):
        calls.append(failed)
        assert failed.message is None
        return CheckTrade(account=failed.fields["account"], shares=int(failed.fields["shares"].split()[0]))

    app = world.app(trade, repairing(number, on=ValidationError, message=CheckTrade))
    await tell(app, world, CheckTrade.model_construct(account="a", shares="8756 SHARES"))
    async with app.running():
        await until(lambda: world.counter("settled:trade") == 1)
    assert calls[0].error == "InvalidMessage"
    (placed,) = world.raw.xrange(world.keys.topic("trade-placed"))
    assert unpack(placed[1][b"data"]) == {"account": "a", "shares": 8756}
    await balanced(app)


async def test_bytes_that_do_not_decode_are_kept_and_given(world):
    trade, calls = placing(), []

    def look(failed: Failed):
        calls.append((failed.message, failed.fields, failed.data))

    app = world.app(trade, repairing(look, on=UndecodableMessage))
    await tell(app, world, order())
    queue = world.keys.command("place-trade")
    ((entry, fields),) = world.raw.xrange(queue)
    world.raw.xdel(queue, entry)
    world.raw.xadd(queue, {**fields, b"data": b"\xff\xfe\x00"})
    async with app.running():
        await world.failure("trade")
    assert calls == [(None, {}, b"\xff\xfe\x00")]
    assert at_the_desk(world, "trade-repair can't tell what is wrong with it").data == b"\xff\xfe\x00"
    await balanced(app)


async def test_a_failure_keeps_all_that_is_known_of_it(world):
    trade = Processor("trade")

    @trade.on(PlaceTrade, retry=RetryPolicy(attempts=3, first_ms=1))
    async def place(command: PlaceTrade, context: Context):
        raise NotANumber(f"attempt {context.attempt}")

    app = world.app(trade, stripping())
    await tell(app, world, order(UNKNOWN), time=1_700_000_000_000)
    async with app.running():
        await world.failure("trade")
    failure = at_the_desk(world, "trade-repair can't tell what is wrong with it")
    assert (failure.handler, failure.attempts, failure.message) == ("trade.place", 3, "attempt 3")
    assert "in place\n" in failure.traceback
    assert failure.fingerprint.endswith("NotANumber in tests.runtime.test_repairing."
        "test_a_failure_keeps_all_that_is_known_of_it.<locals>.place")  # fmt: skip
    assert failure.envelope.time == 1_700_000_000_000
    assert failure.channel == "own:trade"
    await balanced(app)


async def test_a_failure_of_an_event_is_mended_for_the_group_in_which_it_failed_alone(world):
    seen = []
    books, mail = Processor("trade"), Processor("mail")

    @books.on(TradePlaced, retry=ONCE)
    async def book(event: TradePlaced):
        seen.append(("trade", event.shares))
        if event.shares < 0:
            raise NotANumber("below zero")

    @mail.on(TradePlaced)
    async def tell_them(event: TradePlaced):
        seen.append(("mail", event.shares))

    async def positive(failed: Failed[TradePlaced]):
        return failed.message.model_copy(update={"shares": -failed.message.shares})

    app = world.app(books, mail, repairing(positive, message=TradePlaced))
    async with app.running() as client:
        await client.publish(TradePlaced(account="a", shares=-5))
        await until(lambda: world.counter("settled:trade") and world.counter("settled:mail"))
    assert sorted(seen) == [("mail", -5), ("trade", -5), ("trade", 5)]
    await balanced(app)


async def test_the_same_failure_is_not_mended_twice(world):
    calls, trade = [], placing()

    def change(failed: Failed[PlaceTrade]):
        calls.append(failed.message.line)
        return order(UNKNOWN + "!" * len(calls))

    app = world.app(trade, repairing(change))
    await tell(app, world, order())
    async with app.running():
        await world.failure("trade")
    assert calls == [BAD]
    failure = at_the_desk(world, "trade-repair has mended it already, and it failed in the same way again")
    assert (failure.envelope.origin, failure.envelope.cause) == ("c0", "c0")
    assert unpack(failure.data)["line"] == UNKNOWN + "!"
    await balanced(app)


async def test_ever_new_failures_are_not_mended_for_ever(world):
    calls, trade = [], Processor("trade")

    @trade.on(PlaceTrade, retry=ONCE)
    async def place(command: PlaceTrade):
        raise type(f"Wrong{command.line}", (ValueError,), {})

    def change(failed: Failed[PlaceTrade]):
        calls.append(failed.message.line)
        return order(str(len(calls)))

    app = world.app(trade, repairing(change, on=ValueError))
    await tell(app, world, order("0"))
    async with app.running():
        await world.failure("trade")
    assert len(calls) == MOST
    failure = at_the_desk(world, f"it was mended {MOST} times and fails still: the repairs loop")
    assert failure.envelope.origin == "c0"
    assert len(failure.fields[b"mended"].splitlines()) == MOST
    await balanced(app)


async def test_discarded_outside_of_a_flow_it_is_counted(world):
    app = world.app(placing(), stripping())
    await tell(app, world, order(CLOSED))
    async with app.running():
        await until(lambda: world.counter("discarded:trade") == 1)
    assert world.log()[-1].outcome == "discarded"
    assert world.log()[-1].note == "the account is closed"
    assert world.failures("trade") == []
    assert (await balanced(app)).discarded == 1


async def test_in_a_flow_the_step_is_in_repair_and_then_has_the_mended_commands_result(world):
    release = asyncio.Event()

    async def strip(failed: Failed[PlaceTrade]):
        await release.wait()
        return order(GOOD, failed.message.account)

    app = world.app(*basket(), placing(), repairing(strip))
    async with app.running() as client, app.store() as store:
        receipt = await client.send(BasketPlaced(account="a", line=BAD))
        await until(lambda: world.flow(receipt.id).stuck)
        view = await flow_view(store, app.topology, receipt.id)
        (step,) = view.steps
        assert (view.summary.state, step.state) == ("running", "in repair")
        assert step.problem == "in repair by trade-repair: NotANumber: '8756 SHARES' is no number"
        assert await client._recorded(receipt.id) is None  # nobody who waits is told that it has failed
        await balanced(app)
        release.set()
        outcome = await client.wait(receipt.id, timeout=10)
        view = await flow_view(store, app.topology, receipt.id)
        whole = await trace(store, app.topology, receipt.id)
    assert outcome.event == BasketDone(shares=8756)
    assert [(line.component, line.outcome) for line in view.log if line.step == 1] == [
        ("trade", "in repair"),
        ("trade-repair", "repaired"),
        ("trade", "done"),
    ]
    record = world.flow(receipt.id)
    assert record.stuck == {}
    assert record.results[1].by == "trade"
    assert len(world.broadcasts(TradePlaced)) == 1
    await balanced(app)
    (boss,) = [handling for handling in whole.root.handlings if handling.component == "boss"]
    (command,) = [sent for sent in boss.sent if sent.type == "place-trade"]
    by = {handling.component: handling for handling in command.handlings}
    (mended,) = by["trade-repair"].sent
    assert by["trade-repair"].state == "repaired"
    assert (mended.type, mended.kind, mended.step) == ("place-trade", "command", 1)
    assert [reply.type for handling in mended.handlings for reply in handling.sent] == ["trade-placed"]
    assert [reply.type for reply in by["trade"].sent] == []


async def test_a_flow_is_not_loose_while_its_mended_command_waits(world):
    app = world.app(*basket(), placing(), stripping())
    async with app.client() as client:
        receipt = await client.send(BasketPlaced(account="a", line=BAD))
    async with working(app, "front", "boss", "trade"):
        await until(lambda: world.flow(receipt.id).stuck)
    await balanced(app)
    async with working(app, "trade-repair"):
        await until(lambda: world.raw.xlen(world.keys.own("trade")))
    assert world.flow(receipt.id).stuck == {}
    assert (await balanced(app)).waiting == 1
    async with app.running() as client:
        assert (await client.wait(receipt.id, timeout=10)).event == BasketDone(shares=8756)
    await balanced(app)


def door():
    """A front door at which simple events may fail."""
    front = SimpleMediator("trade")  # the name under which these tests look

    @front.classify(BasketPlaced, SIMPLE)
    def simple(event):
        return SIMPLE

    @front.on(BasketPlaced)
    def handle(event):
        return [TradePlaced(account=event.account, shares=int(event.line))]

    return front


@pytest.mark.parametrize("line", ["7 SHARES", "FORGET", "many"])
async def test_an_initiating_event_that_fails_at_the_door_is_mended_and_keeps_its_id(world, line):
    async def strip(failed: Failed[BasketPlaced]):
        if failed.message.line == "many":
            return None
        if failed.message.line == "FORGET":
            return Discard("no")
        return BasketPlaced(account=failed.message.account, line=failed.message.line.split()[0])

    app = world.app(door(), repairing(strip, message=BasketPlaced, on=ValueError))
    async with app.running() as client:
        receipt = await client.send(BasketPlaced(account="a", line=line))
        outcome = await client.wait(receipt.id, timeout=10)
        async with app.store() as store:
            view = await flow_view(store, app.topology, receipt.id)
    assert view.summary.state == outcome.state
    books = await balanced(app)
    assert world.log()[0].outcome == "in repair"
    if line == "7 SHARES":
        assert outcome.state == "completed"
        assert [envelope.cause for envelope in world.broadcasts(TradePlaced)] == [receipt.id]
        assert books.settled == 1
    else:
        assert outcome.state == "failed"
        assert (books.discarded, books.failed) == ((1, 0) if line == "FORGET" else (0, 1))
    assert world.raw.xlen(world.keys.outcomes) == 1


async def test_a_fixer_of_what_nobody_handles_has_nothing_to_do(world):
    app = world.app(stripping())
    async with working(app, "trade-repair"):
        await until(world.consumers)
        async with app.store() as store:
            assert (await status(store, app.topology)).sickness == []


async def test_every_shard_has_its_repairs(world):
    app = world.app(*basket(), placing(), stripping(), shards=3)
    async with app.running() as client:
        receipts = [await client.send(BasketPlaced(account=f"a{n}", line=BAD)) for n in range(12)]
        for receipt in receipts:
            assert (await client.wait(receipt.id, timeout=10)).event == BasketDone(shares=8756)
    async with app.store() as store:
        books = await ledger(store, app.topology)
    assert books.balanced
    assert sum(group.settled for group in books.groups if group.group == "trade") == 12
    assert all(group.settled for group in books.groups if group.group == "trade")


async def test_in_a_flow_what_is_discarded_is_a_command_failed(world):
    app = world.app(*basket(), placing(), stripping())
    async with app.running() as client:
        receipt = await client.send(BasketPlaced(account="a", line=CLOSED))
        outcome = await client.wait(receipt.id, timeout=10)
    assert outcome.event == BasketDone(shares=-len("the account is closed"))
    assert world.flow(receipt.id).stuck == {}
    assert (await balanced(app)).discarded == 1


async def test_in_a_flow_what_no_program_can_tell_waits_for_a_person_and_its_flow_is_told(world):
    app = world.app(*basket(), placing(), stripping())
    async with app.running() as client:
        receipt = await client.send(BasketPlaced(account="a", line=UNKNOWN))
        outcome = await client.wait(receipt.id, timeout=10)
        assert outcome.state == "failed"
        assert outcome.reason == (
            "step 1 (place-trade): NotANumber: 'many' is no number (trade-repair can't tell what is wrong"
            " with it)"
        )
        failure = at_the_desk(world, "trade-repair can't tell what is wrong with it")
        async with app.store() as store:
            whole = await trace(store, app.topology, receipt.id)
    assert f"`hybrid failed retry trade/{failure.entry}`" in str(whole)
    await balanced(app)


async def test_what_its_flow_no_longer_waits_for_does_not_go_back(world):
    release, begun = asyncio.Event(), []

    async def strip(failed: Failed[PlaceTrade]):
        begun.append(failed)
        await release.wait()
        return order(GOOD)

    app = world.app(*basket(), placing(), repairing(strip))
    async with app.running() as client:
        receipt = await client.send(BasketPlaced(account="a", line=BAD))
        await until(lambda: begun)
        world.raw.hset(world.keys.flow(receipt.id), "result:1", Result("nothing").packed())
        release.set()
        await world.failure("trade")
    at_the_desk(world, "trade-repair mended it, but its flow no longer waits for it")
    assert world.broadcasts(TradePlaced) == []
    assert world.raw.xlen(world.keys.outcomes) == 0  # the flow has not failed
    async with app.store() as store:
        assert (await ledger(store, app.topology)).balanced


async def test_what_is_mended_past_its_time_does_not_go_back(world):
    late = asyncio.Event()

    async def strip(failed: Failed[PlaceTrade]):
        await until(lambda: failed.envelope.expires < int(time.time() * 1000))  # whole ms, as the worker's
        late.set()
        return order(GOOD)

    app = world.app(*basket(timeout=seconds(0.3)), placing(), repairing(strip))
    async with app.running() as client:
        receipt = await client.send(BasketPlaced(account="a", line=BAD))
        outcome = await client.wait(receipt.id, timeout=10)
        await late.wait()
        await world.failure("trade")
    assert outcome.event == BasketDone(shares=0)
    at_the_desk(world, "trade-repair mended it, but its time is over: nobody waits for it any more")
    assert world.broadcasts(TradePlaced) == []
    await balanced(app)


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (1 / 3, "HandlerError: trade-repair.answers returned a float: a repair returns the mended message,"
         " Discard(reason), or None"),
        (KeyError("no such symbol"), "KeyError: 'no such symbol'"),
        (SystemError(), "SystemError: "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["async", "def"])
async def test_what_a_fixer_raises_is_the_note_at_the_desk(world, answer, note, kind):
    def answers(failed: Failed):
        if isinstance(answer, Exception):
            raise answer
        return answer

    fixer = repairing(answers)
    if kind == "async":
        synchronous = answers

        async def answers(failed: Failed):
            return synchronous(failed)

        fixer = repairing(answers)
    app = world.app(placing(), fixer)
    await tell(app, world, order())
    async with app.running():
        await world.failure("trade")
    at_the_desk(world, f"trade-repair: {note}")
    assert world.outcomes("trade-repair") == ["failed"]
    await balanced(app)


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (CheckTrade(account="a", shares=1),
         " to a check-trade: a message stays what it is, place-trade"),
        (PlaceTrade.model_construct(account="a", line=7),
         ", but place-trade is not valid: line: Input should be a valid string, got 7"),
        (PlaceTrade(account="a", line="x" * 5000),
         ", but place-trade has 5,0"),
    ],
)  # fmt: skip
async def test_what_is_mended_must_be_good(world, answer, note):
    async def wrong(failed: Failed):
        return answer

    app = world.app(placing(), repairing(wrong), max_message_bytes=4000)
    await tell(app, world, order())
    async with app.running():
        failure = await world.failure("trade")
    assert failure.note.startswith(f"trade-repair mended it{note}")
    assert unpack(failure.data)["line"] == BAD
    await balanced(app)


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_a_fixer_that_hangs_is_not_waited_for(world, kind):
    let_end = threading.Event()

    def hang(failed: Failed):
        let_end.wait(20)
        return order(GOOD)

    if kind == "async":

        async def hang(failed: Failed):
            await asyncio.Event().wait()

    app = world.app(placing(), repairing(hang, timeout=0.1))
    await tell(app, world, order())
    async with app.running():
        await world.failure("trade")
        let_end.set()
    at_the_desk(world, "trade-repair: HandlerTimeout: trade-repair.hang ran longer than its limit of 0.1 s")
    assert world.counter("settled:trade") == 0
    await balanced(app)


async def test_a_fixer_that_kills_its_workers_is_not_given_it_again(world):
    trade, calls = placing(), []
    app = world.app(trade, repairing(noting(calls)), lease_ms=300)
    await tell(app, world, order())
    async with working(app, "trade"):
        await until(lambda: world.raw.xlen(world.keys.repair("trade-repair", "trade")))
    queue = world.keys.repair("trade-repair", "trade")
    world.raw.xgroup_create(queue, "hybrid", id="0", mkstream=True)
    ((_, ((entry, _),)),) = world.raw.xreadgroup("hybrid", "dead", {queue: ">"})
    unit = f"repair:trade-repair/trade|trade-repair|{entry.decode()}"
    world.raw.hset(world.keys.starts, unit, f"{app.settings.poison_starts} killed")
    assert (await balanced(app)).repair == 1
    async with app.running():
        await world.failure("trade")
    at_the_desk(
        world,
        "trade-repair: started 3 times without an outcome: its worker was killed or lost each time",
    )
    assert calls == []
    assert world.raw.hgetall(world.keys.starts) == {}
    await balanced(app)


DEADLY = """
import asyncio
from hybrid import App, Settings
from tests.runtime.test_repairing import die, placing, repairing

async def main():
    app = App({name!r}, [placing(), repairing(die)], settings=Settings.load(**{settings!r}))
    async with app.worker(["trade-repair"]) as worker:
        await worker.stopped.wait()

asyncio.run(main())
"""


def die(failed: Failed):
    os.kill(os.getpid(), signal.SIGKILL)


async def ended(fixer, world):
    """Wait until a process has ended, or is to: the failure has found its way to the desk."""
    await until(lambda: fixer.poll() is not None or world.failures("trade"))
    if fixer.poll() is None:
        fixer.terminate()
    return fixer.wait()


async def test_a_fixer_that_really_kills_its_workers(world):
    app = world.app(placing(), repairing(die), lease_ms=300, poison_starts=1)
    program = DEADLY.format(name=app.name, settings=app.settings.model_dump(mode="json"))
    ends = []
    await tell(app, world, order(), order(GOOD))
    async with working(app, "trade"):
        while not world.failures("trade"):
            fixer = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
            ends.append(await ended(fixer, world))
        assert world.counter("settled:trade") == 1
    assert ends[:-1] == [-signal.SIGKILL] * 2  # as it came, and once more when it was taken over
    note = "trade-repair: started 1 times without an outcome: its worker was killed or lost each time"
    assert unpack(at_the_desk(world, note).data)["line"] == BAD
    await balanced(app)


async def test_what_a_dead_fixer_had_begun_is_done_by_another(world):
    app = world.app(placing(), stripping(), lease_ms=300)
    await tell(app, world, order())
    queue = world.keys.repair("trade-repair", "trade")
    async with working(app, "trade"):
        await until(lambda: world.raw.xlen(queue))
    world.raw.xgroup_create(queue, "hybrid", id="0", mkstream=True)
    world.raw.xreadgroup("hybrid", "dead", {queue: ">"})
    async with app.running():
        await until(lambda: world.counter("settled:trade") == 1)
    assert world.raw.hgetall(world.keys.starts) == {}
    await balanced(app)


async def test_limits_are_kept_and_what_waits_is_handed_back(world):
    release, begun = asyncio.Event(), []

    async def slow(failed: Failed[PlaceTrade]):
        begun.append(failed)
        await release.wait()
        return order(GOOD)

    app = world.app(placing(), repairing(slow), concurrency=2)
    queue = world.keys.repair("trade-repair", "trade")
    await tell(app, world, *(order() for _ in range(5)))
    async with working(app, "trade"):
        await until(lambda: world.raw.xlen(queue) == 5)
    async with working(app, "trade-repair") as worker:
        await until(lambda: len(begun) == 2)
        stopping = asyncio.create_task(worker.stop())
        await until(lambda: worker._workplace.stopping)
        release.set()
        await stopping
    assert len(begun) == 2
    books = await balanced(app)
    assert (books.repair, books.waiting) == (3, 2)
    async with app.running():
        await until(lambda: world.counter("settled:trade") == 5)
    await balanced(app)


async def test_what_is_no_failure_is_kept_and_the_next_goes_on(world):
    app = world.app(placing(), stripping())
    queue = world.keys.repair("trade-repair", "trade")
    world.raw.xadd(queue, {"odd": "entry"})
    await tell(app, world, order())
    async with app.running():
        await until(lambda: world.counter("settled:trade") == 1)
    (failure,) = world.failures("trade-repair")
    assert failure.error == "UndecodableMessage"
    assert failure.fields == {b"odd": b"entry"}


async def test_what_is_no_failure_is_poisoned_too(world):
    queue = world.keys.repair("trade-repair", "trade")
    entry = world.raw.xadd(queue, {"odd": "entry"}).decode()
    world.raw.xgroup_create(queue, "hybrid", id="0")
    world.raw.xreadgroup("hybrid", "dead", {queue: ">"})
    world.raw.hset(world.keys.starts, f"repair:trade-repair/trade|trade-repair|{entry}", "3 killed")
    async with world.running(placing(), stripping(), lease_ms=300):
        failure = await world.failure("trade-repair")
    assert "started 3 times without an outcome" in failure.message


@pytest.mark.parametrize("original", [{b"nothing": b"of ours"}, {b"id": b"x", b"type": b"no-longer-known"}])
async def test_a_failure_of_what_is_no_message_goes_to_the_desk_of_its_group(world, original):
    app = world.app(placing(), stripping())
    failure = failure_of(Culprit("trade", "trade.place", "command:x"), original, NotANumber(), 1)
    packed = [*failure.packed(), "function", "trade-repair.strip"]
    queue = world.keys.repair("trade-repair", "trade")
    world.raw.xadd(queue, dict(zip(packed[::2], packed[1::2], strict=True)))
    world.raw.hincrby(world.keys.counters, "entered:command:place-trade", 1)
    async with app.running():
        found = await world.failure("trade")
    assert found.fields == original
    assert found.note.startswith("trade-repair: AttributeError")  # of a function that expects a message
    await balanced(app)


async def test_a_function_that_is_gone_is_said(world):
    app = world.app(placing(), stripping())
    await tell(app, world, order())
    async with working(app, "trade"):
        await until(lambda: world.raw.xlen(world.keys.repair("trade-repair", "trade")))

    async def renamed(failed: Failed): ...

    newer = world.app(placing(), repairing(renamed))
    async with newer.running():
        await world.failure("trade")
    at_the_desk(
        world,
        "trade-repair: ApplicationError: there is no repair function trade-repair.strip any more",
    )
    await balanced(newer)


async def test_a_fixer_that_is_gone_leaves_what_it_had_in_the_books(world):
    app = world.app(placing(), stripping())
    await tell(app, world, order())
    async with working(app, "trade"):
        await until(lambda: world.raw.xlen(world.keys.repair("trade-repair", "trade")))
    assert (await balanced(world.app(placing()))).repair == 1


async def test_a_settle_that_the_server_refuses_leaves_the_failure_whole(world):
    app = world.app(placing(), stripping())
    await tell(app, world, order())
    async with working(app, "trade"):
        await until(lambda: world.raw.xlen(world.keys.repair("trade-repair", "trade")))
    world.raw.delete(world.keys.own("trade"))
    world.raw.set(world.keys.own("trade"), "no stream")
    async with working(app, "trade-repair"):
        await world.failure("trade")
    failure = at_the_desk(
        world,
        "trade-repair: the server refused the outputs of this delivery; the worker's log says why",
    )
    assert unpack(failure.data)["line"] == BAD
    assert world.raw.xlen(world.keys.repair("trade-repair", "trade")) == 0


async def test_resources_are_given_and_a_context_is_refused(world):
    @resource
    def symbols() -> Symbols:
        return Symbols(fixed=GOOD)

    async def look_up(failed: Failed, symbols: Symbols):
        return order(symbols["fixed"])

    await world.tell(order())
    async with world.running(placing(), repairing(look_up), resources=[symbols]):
        await until(lambda: world.counter("settled:trade") == 1)

    async def asks(failed: Failed, context: Context): ...

    with pytest.raises(ApplicationError, match=r"trade-repair.asks asks for a Context"):
        async with world.running(placing(), repairing(asks)):
            pass
