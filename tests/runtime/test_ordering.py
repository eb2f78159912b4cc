"""Order per key in running workers: one after the other, held during repair, also across workers."""

import asyncio
from collections import defaultdict

import pytest

from hybrid import Command, Context, Event, Processor, SimpleMediator
from hybrid.errors import ApplicationError
from hybrid.inspect.groups import chosen, reset
from hybrid.inspect.ledger import ledger
from hybrid.policy import RetryPolicy
from hybrid.positions import BEGINNING, NOW
from hybrid.repair.ways import given_up
from hybrid.streams.transitions import Transition
from tests.runtime.world import until, working


class Trade(Command, key="account"):
    account: str
    n: int


class Traded(Event, key="account"):
    account: str
    n: int


class Basket(Event, key="account"):
    account: str
    n: int


class Book:
    """Runs trades: remembers them by account in the order in which they ended, and never two at once."""

    def __init__(self, bad=(), once=()):
        self.done, self.running, self.bad, self.once = defaultdict(list), set(), set(bad), set(once)
        self.broken = []

    async def run(self, trade):
        if trade.account in self.running:
            self.broken.append(f"two of {trade.account} at once")
        self.running.add(trade.account)
        await asyncio.sleep(0)
        self.running.discard(trade.account)
        if (trade.account, trade.n) in self.once:
            self.once.discard((trade.account, trade.n))
            raise ValueError("not this time")
        if (trade.account, trade.n) in self.bad:
            raise KeyError("bad")
        self.done[trade.account].append(trade.n)


def desk(book, message=Trade, **options):
    processor = Processor("desk")

    @processor.on(message, ordered_by="account", retry=RetryPolicy(attempts=2, first_ms=20), **options)
    async def trade(command) -> None:
        await book.run(command)

    return processor


def trades(accounts, each):
    return [Trade(account=f"a{a}", n=n) for n in range(each) for a in range(accounts)]


async def balanced(app):
    async with app.store() as store:
        return (await ledger(store, app.topology)).balanced


async def test_commands_of_a_key_run_as_they_were_sent_in_two_workers(world):
    book = Book()
    app = world.app(desk(book))
    async with working(app), working(app):
        await world.tell(*trades(10, 30))
        await until(lambda: world.counter("settled:desk") == 300)
    assert book.done == {f"a{a}": list(range(30)) for a in range(10)}
    assert not book.broken
    assert not world.raw.exists(world.keys.gate("desk"), world.keys.held("desk"))


async def test_a_retry_is_not_overtaken_by_its_key(world):
    book = Book(once=[("a0", 0), ("a1", 3)])
    async with world.running(desk(book)):
        await world.tell(*trades(2, 6))
        await until(lambda: world.counter("settled:desk") == 12)
    assert book.done == {"a0": [*range(6)], "a1": [*range(6)]}


async def test_what_comes_after_a_failure_is_held_and_others_are_not(world):
    book = Book(bad=[("a0", 1)])
    app = world.app(desk(book))
    async with app.running():
        await world.tell(*trades(2, 5))
        failure = await world.failure("desk")
        await until(lambda: book.done["a1"] == [*range(5)])
        assert book.done["a0"] == [0]
        async with app.store() as store:
            (group,) = (await ledger(store, app.topology)).groups
        assert (group.held, group.failed) == (3, 1)
        assert group.missing == -10  # told past the counters: all ten are somewhere
        book.bad.clear()
        assert await world.send_back(app, failure) == 1
        await until(lambda: world.counter("settled:desk") == 10)
    assert book.done["a0"] == [*range(5)]


async def test_events_of_a_topic_keep_their_order_for_the_group_that_asks(world):
    book, others = Book(), []
    free = Processor("free")

    @free.on(Traded)
    async def see(event: Traded) -> None:
        others.append(event.n)

    app = world.app(desk(book, Traded), free)
    async with working(app), working(app), app.client() as client:
        await client.publish_many([Traded(account=f"a{n % 3}", n=n) for n in range(60)])
        await until(lambda: world.counter("settled:desk") == 60 and len(others) == 60)
        assert await balanced(app)
    assert book.done == {f"a{a}": [*range(a, 60, 3)] for a in range(3)}


async def test_history_that_is_held_is_marked_as_replayed(world):
    """What stood on the topic before the group came to be is history, also when it had to wait its turn."""
    seen = []
    late = Processor("late")

    @late.on(Traded, ordered_by="account")
    async def see(event: Traded, context: Context) -> None:
        seen.append((event.n, context.replayed))

    app = world.app(late)
    async with app.client() as client:
        await client.publish_many([Traded(account="a", n=n) for n in range(3)])
        async with working(app):
            await until(lambda: len(seen) == 3)
            await client.publish_many([Traded(account="a", n=n) for n in range(3, 6)])
            await until(lambda: len(seen) == 6)
    assert seen == [(n, n < 3) for n in range(6)]


async def test_events_go_through_the_front_door_in_order(world):
    book, front = Book(), SimpleMediator("front")

    @front.on(Basket, ordered_by="account")
    def to_trade(event: Basket):
        return Trade(account=event.account, n=event.n)

    app = world.app(front, desk(book))
    async with working(app), working(app), app.client() as client:
        await client.send_many([Basket(account=f"a{n % 4}", n=n) for n in range(200)])
        await until(lambda: world.counter("settled:desk") == 200)
        assert await balanced(app)
    assert book.done == {f"a{a}": [*range(a, 200, 4)] for a in range(4)}


async def test_what_is_handed_back_keeps_its_turn(world):
    """One worker has read two keys and handles one; it leaves, and the other key goes on in order."""
    release, started = asyncio.Event(), []
    slow = Processor("desk")

    @slow.on(Trade, ordered_by="account", concurrency=1)
    async def trade(command: Trade) -> None:
        started.append(command)
        await release.wait()

    sent = [Trade(account=account, n=n) for account, n in (("a", 1), ("b", 1), ("b", 2), ("a", 2))]
    async with working(world.app(slow)):
        await world.tell(*sent)
        await until(lambda: started and world.raw.hlen(world.keys.gate("desk")) == 2)
        leaving = asyncio.get_running_loop().call_later(0.1, release.set)
    assert leaving.when() and [(trade.account, trade.n) for trade in started] == [("a", 1)]
    book = Book()
    async with world.running(desk(book)):
        await until(lambda: world.counter("settled:desk") == 4)
    assert book.done == {"a": [2], "b": [1, 2]}


async def test_an_expired_command_lets_the_next_one_come(world):
    book = Book()
    async with world.running(desk(book)):
        await world.tell(Trade(account="a", n=1), expires=1)
        await world.tell(Trade(account="a", n=2))
        await until(lambda: book.done["a"] == [2])
        await until(lambda: world.counter("settled:desk") == 1)
    assert world.counter("expired:desk") == 1
    assert not world.raw.exists(world.keys.gate("desk"))


def test_what_can_not_be_ordered_is_an_error():
    processor = Processor("desk")
    with pytest.raises(ApplicationError, match="ordered_by='acount' is not one of its fields: account, n"):
        processor.on(Trade, ordered_by="acount")(lambda command: None)
    with pytest.raises(ApplicationError, match="leave out ordered_by"):
        processor.on(Traded, ordered_by="account", every_instance=True)(lambda event: None)
    with pytest.raises(ApplicationError, match="is not one of its fields"):
        SimpleMediator("front").on(Basket, ordered_by="x")(lambda event: None)


async def test_an_order_that_several_shards_can_not_keep_is_an_error_at_start(world):
    class Loose(Event):
        account: str

    front = SimpleMediator("front")
    front.on(Loose)(lambda event: None)
    with pytest.raises(ApplicationError, match="loose goes to a shard by its id: declare it as class Loose"):
        async with world.running(front, desk(Book()), shards=2):
            pass
    async with world.running(desk(Book()), shards=2):
        pass


async def test_bytes_that_are_no_message_stop_no_worker_and_keep_no_turn(world):
    """A map whose keys are lists, a text that is cut off, a byte that begins nothing."""
    book = Book()
    app = world.app(desk(book))
    bad = [b"\x81\xa7account\x81\x91\1\2", b"\x81\xa7account\xa5ab", b"\x81\xa7account\xc1"]
    async with working(app):
        for n, data in enumerate(bad):
            world.raw.xadd(world.keys.command("trade"), {"id": f"x{n}", "type": "trade", "data": data})
        await world.tell(Trade(account="ab", n=1), Trade(account="b", n=2))
        await until(lambda: book.done["b"] and len(world.failures("desk")) == 3)
        for failure in world.failures("desk"):
            async with app.store() as store:
                way = given_up(world.keys, failure, "no message", 0)
                await store.shards[0].settler.settle(Transition((), (), way.effects))
        await until(lambda: book.done["ab"])
        await until(lambda: not world.raw.exists(world.keys.gate("desk")))


class Slow(Book):
    """Runs nothing from this number on to its end until it may."""

    def __init__(self, slow=0):
        super().__init__()
        self.may, self.started, self.slow = asyncio.Event(), [], slow

    async def run(self, trade):
        self.started.append(trade.n)
        if trade.account in self.running:
            self.broken.append(f"two of {trade.account} at once")
        self.running.add(trade.account)
        if trade.n >= self.slow:
            await self.may.wait()
        self.running.discard(trade.account)
        self.done[trade.account].append(trade.n)


async def reset_to_the_beginning(app):
    async with app.store() as store:
        return await reset(store, await chosen(store, app.topology, "desk"), BEGINNING)


async def test_what_is_held_does_not_come_twice_when_its_group_is_reset(world):
    book = Slow()
    app = world.app(desk(book, Traded))
    async with working(app), app.client() as client:
        await client.publish_many([Traded(account="a", n=n) for n in range(3)])
        await until(lambda: book.started and world.raw.zcard(world.keys.held("desk")) == 2)
        await reset_to_the_beginning(app)
        await until(lambda: world.pending(world.keys.topic("traded"), "desk") == 1)
        assert await balanced(app)
        book.may.set()
        await until(lambda: world.counter("settled:desk") == 3)
        assert await balanced(app)
    assert book.done["a"] == [0, 1, 2]
    assert not world.raw.exists(world.keys.gate("desk"))


async def test_what_comes_again_and_is_passed_over_then_ends_its_turn(world):
    book = Slow()
    app = world.app(desk(book, Traded))
    async with working(app), app.client() as client:
        await client.publish_many([Traded(account="a", n=n) for n in range(3)])
        await until(lambda: book.started and world.raw.zcard(world.keys.held("desk")) == 2)
        async with app.store() as store:
            for to in (BEGINNING, NOW):
                await reset(store, await chosen(store, app.topology, "desk"), to)
        book.may.set()
        await until(lambda: world.counter("settled:desk") + world.counter("discarded:desk") >= 3)
        await client.publish(Traded(account="a", n=3))
        await until(lambda: book.done["a"][-1:] == [3])
        await until(lambda: not world.raw.exists(world.keys.gate("desk")))
        assert await balanced(app)


async def test_what_was_released_runs_alone_when_its_group_is_reset(world):
    book = Slow(slow=1)
    app = world.app(desk(book, Traded))
    async with working(app), app.client() as client:
        await client.publish_many([Traded(account="a", n=n) for n in range(2)])
        await until(lambda: book.started == [0, 1])
        await reset_to_the_beginning(app)
        await until(lambda: world.raw.zcard(world.keys.held("desk")) == 2)
        book.may.set()
        await until(lambda: world.counter("settled:desk") == 4)
        assert await balanced(app)
    assert (book.done["a"], book.broken) == ([0, 1, 0, 1], [])


async def test_a_second_message_of_an_id_waits_for_the_first(world):
    """As when it is sent again after it was forgotten that it was sent; and what replays broadcast again."""
    book = Slow()
    async with working(world.app(desk(book))):
        await world.tell(Trade(account="a", n=1))
        await world.tell(Trade(account="a", n=1))
        await until(lambda: book.started and world.raw.zcard(world.keys.held("desk")))
        assert book.started == [1]
        book.may.set()
        await until(lambda: world.counter("settled:desk") == 2)
    assert not book.broken
