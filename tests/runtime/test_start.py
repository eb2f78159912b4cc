"""Where a new group begins, what of it is replayed, and the hand-over from history to live."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from hybrid import Context, Processor, RetryPolicy, hours
from hybrid.errors import ApplicationError
from hybrid.inspect.groups import chosen, reset
from hybrid.inspect.ledger import ledger
from hybrid.positions import History, position
from hybrid.runtime.delivery import Lane
from tests.runtime.messages import Noted, Paid, Pay
from tests.runtime.world import until, working


def listening(name="late", **options):
    """Return a processor that keeps what it hears: (text, replayed)."""
    late = Processor(name)
    late.heard = []

    @late.on(Noted, **options)
    async def note(event: Noted, context: Context):
        late.heard.append((event.text, context.replayed))

    return late


async def before(world, many=5):
    """Put events on the topic; return their entries' ids."""
    async with world.app(messages=[Noted]).client() as client:
        await client.publish_many([Noted(text=f"n{n}") for n in range(many)])
    return [entry.decode() for entry, _ in world.raw.xrange(world.keys.topic("noted"))]


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (
            "yesterday",
            r"""@late.on\(Noted\): start='yesterday' is no place to begin at: give "beginning", "now",""",
        ),
        ("-5", "is no place to begin at"),
        (5, "is no place to begin at"),
        (datetime(2026, 1, 1), "has no time zone, and workers may be in several"),  # noqa: DTZ001
        (timedelta(seconds=-1), "is in the future: a timedelta says how long ago"),
    ],
)
def test_a_wrong_start_is_told_at_once(start, says):
    with pytest.raises(ApplicationError, match=says):
        listening(start=start)


def test_a_command_has_no_start():
    with pytest.raises(
        ApplicationError, match=r"@late.on\(Pay\): start is for events. A command is on a queue"
    ):
        Processor("late").on(Noted | Pay, start="now")(print)


@pytest.mark.parametrize(
    ("start", "after"),
    [
        ("beginning", "0"),
        ("now", "$"),
        ("1700000000000-3", "1700000000000-2"),
        ("1700000000000-0", "1699999999999-9007199254740991"),
        ("1700000000000", "1699999999999-9007199254740991"),
        ("0-0", "0"),
        (timedelta(seconds=2), "1699999997999-9007199254740991"),
        (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), "1699999999999-9007199254740991"),
        (timedelta(days=100_000), "0"),
    ],
)
def test_a_start_names_the_first_entry_and_a_position_the_one_before(start, after):
    assert position(start, 1_700_000_000_000) == after


def test_history_lies_between_two_entries():
    history = History.read("5-1 100-0")
    assert [history.has(id) for id in (b"5-1", b"5-2", b"100-0", b"100-1", b"9-0")] == [
        False, True, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("start", "heard"),
    [
        (None, 5),
        ("beginning", 5),
        ("now", 0),
        (hours(1), 5),
        (timedelta(0), 0),
        (datetime(2020, 1, 1, tzinfo=UTC), 5),
        (datetime(2100, 1, 1, tzinfo=UTC), 0),
        (3, 2),
    ],
)
async def test_a_new_group_begins_at_its_start(world, start, heard):
    entries = await before(world)
    await until(lambda: world.raw.time()[0] * 1000 + world.raw.time()[1] / 1000 > int(entries[-1][:13]) + 2)
    late = listening(start=entries[start] if isinstance(start, int) else start)
    app = world.app(late)
    async with app.running() as client:
        await client.publish(Noted(text="live"))
        await until(lambda: ("live", False) in late.heard)
        await until(lambda: world.counter("settled:late") == heard + 1)
        assert sorted(late.heard) == sorted(
            [(f"n{n}", True) for n in range(5 - heard, 5)] + [("live", False)]
        )
        async with app.store() as store:
            assert (await ledger(store, app.topology)).balanced


async def test_an_existing_group_is_not_moved(world):
    async with world.running(listening()):
        pass
    await before(world)
    late = listening(start="now")
    async with world.running(late):
        await until(lambda: len(late.heard) == 5)
    assert not any(replayed for _, replayed in late.heard)  # it was there before they were


async def test_a_retry_of_history_is_history_too(world):
    await before(world, 1)
    late, seen = Processor("late"), []

    @late.on(Noted, retry=RetryPolicy(attempts=3, first_ms=1))
    async def note(event: Noted, context: Context):
        seen.append((context.attempt, context.replayed))
        if context.attempt < 3:
            raise ValueError("again")

    async with world.running(late):
        await until(lambda: len(seen) == 3)
    assert seen == [(1, True), (2, True), (3, True)]


async def test_history_and_live_have_no_gap_and_no_double_under_load(world):
    """Publishers go on without a pause while subscribers with two workers each join."""
    app = world.app(messages=[Noted])
    sent, stop = [], asyncio.Event()

    async def publish(name):
        async with app.client() as client:
            while not stop.is_set():
                some = [Noted(text=f"{name}-{len(sent)}-{n}") for n in range(50)]
                sent.extend(event.text for event in some)
                await client.publish_many(some)

    publishers = [asyncio.create_task(publish(name)) for name in "ab"]
    await until(lambda: len(sent) > 2000)
    late = [[listening(f"late-{n}", start="beginning") for _ in range(2)] for n in range(2)]
    workers = [world.app(processor) for pair in late for processor in pair]
    async with working(workers[0]), working(workers[1]), working(workers[2]), working(workers[3]):
        joined = len(sent)
        await until(lambda: len(sent) > joined + 2000)
        stop.set()
        await asyncio.gather(*publishers)
        for n in range(2):
            await until(lambda n=n: world.counter(f"settled:late-{n}") == len(sent))
        for pair in late:
            heard = [one for processor in pair for one in processor.heard]
            assert Counter(text for text, _ in heard) == Counter(sent)
            live = [text for text, replayed in heard if not replayed]
            assert 2000 < len(live) < len(sent) - 2000
        async with workers[0].store() as store:
            assert (await ledger(store, workers[0].topology)).balanced


async def test_a_reset_while_workers_run_replays_and_marks(world):
    """What was given before is marked, what comes meanwhile is not; the books balance at every look."""
    late, other = listening(), listening("other")
    app = world.app(late, other)
    async with app.running() as client, app.store() as store:
        await client.publish_many([Noted(text=f"n{n}") for n in range(300)])
        await until(lambda: world.counter("settled:late") == world.counter("settled:other") == 300)
        assert not any(replayed for _, replayed in late.heard)
        late.heard.clear()
        (moved,) = await reset(store, await chosen(store, app.topology, "late"), "beginning")
        assert (moved.replayed, moved.skipped, moved.position) == (300, 0, "0-0")
        assert (await ledger(store, app.topology)).balanced
        await client.publish(Noted(text="live"))
        await until(lambda: world.counter("settled:late") == 601)
        assert (await ledger(store, app.topology)).balanced
        assert sorted(late.heard) == sorted([(f"n{n}", True) for n in range(300)] + [("live", False)])
        assert len(other.heard) == 301


async def test_a_reset_amid_the_work_settles_everything_once(world):
    """Handlers are busy, and what they have is given again: nothing is left behind, the books balance."""
    late = Processor("late")
    starts, release = Counter(), asyncio.Event()

    @late.on(Noted, concurrency=4)
    async def note(event: Noted, context: Context):
        starts[event.text] += 1
        await release.wait()

    app = world.app(late)
    async with app.running() as client, app.store() as store:
        await client.publish_many([Noted(text=f"n{n}") for n in range(40)])
        await until(lambda: len(starts) == 4)
        view = await chosen(store, app.topology, "late")
        for to in ("beginning", "now", "beginning"):
            await reset(store, view, to)
            assert (await ledger(store, app.topology)).balanced
        release.set()
        await until(lambda: len(starts) == 40)

        async def settled():
            books = await ledger(store, app.topology)
            assert books.balanced
            return not any(group.waiting + group.pending + group.later for group in books.groups)

        await until(settled)
        assert world.failures("late") == []
    assert world.counter("discarded:late") > 0


async def test_only_handlers_that_ask_cost_a_look(world, monkeypatch):
    quiet = Processor("quiet")

    @quiet.on(Paid)
    async def paid(event: Paid):
        return None

    async with world.app(quiet).worker() as worker:
        (reader,) = [reader for reader in worker._readers if reader.group == "quiet"]
        assert not reader._asked


async def test_what_was_given_again_while_it_was_settled_is_looked_for(world, store):
    """It was read once more while it was in work, and its settle may have come before that read."""
    lane = Lane(store.shards[0], world.keys.topic("noted"), SimpleNamespace(component="late"), "late", 4)
    looked = []
    lane.on_given_again = lambda: looked.append(True)
    entries = [(b"1-0", {b"id": b"a"}), (b"2-0", {b"id": b"b"})]
    first, second = lane.accept(entries, 0)
    lane.note_given_again([*entries, (b"3-0", {})], lane.accept([(b"3-0", {})], 0))
    lane.release(first)
    assert looked == [True]
    lane.release(second)
    assert looked == [True, True]
    (third,) = lane.in_work.values()
    lane.release(third)
    assert looked == [True, True]


async def test_resets_under_load_leave_nothing_behind(world):
    """Two workers, events that keep coming, resets to and fro: each event is had, and the books balance."""
    app = world.app(messages=[Noted])
    pair = [listening(concurrency=8) for _ in range(2)]
    workers = [world.app(late) for late in pair]
    topology = workers[0].topology
    async with working(workers[0]), working(workers[1]), app.client() as client, app.store() as store:
        for turn in range(30):
            await client.publish_many([Noted(text=f"{turn}-{n}") for n in range(60)])
            view = await chosen(store, topology, "late")
            entries = world.raw.xrange(world.keys.topic("noted"))
            to = entries[(turn * 7919) % len(entries)][0].decode() if turn % 3 else "beginning"
            await reset(store, view, to if turn % 3 != 2 or to <= view[0].position else "beginning")
            assert (await ledger(store, topology)).balanced

        async def settled():
            books = await ledger(store, topology)
            assert books.balanced
            return not any(group.waiting + group.pending + group.later for group in books.groups)

        await until(settled)
        everything = {f"{turn}-{n}" for turn in range(30) for n in range(60)}
        assert {text for late in pair for text, _ in late.heard} == everything
        for late in pair:
            late.heard.clear()
        await reset(store, await chosen(store, topology, "late"), "beginning")
        await until(settled)
    assert sorted(one for late in pair for one in late.heard) == sorted((text, True) for text in everything)
