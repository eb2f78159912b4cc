"""Waits: a flow waits for an event that somebody broadcasts, matched by fields."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cli.flows.timeline import lines
from hybrid import HARD, Event, Flow, Mediator, Processor, StepTimeout
from hybrid.codec import pack
from hybrid.errors import ApplicationError, ServerUnavailable
from hybrid.inspect.flows import flow as view_of
from hybrid.inspect.flows import summaries
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.trace import trace
from hybrid.keys import Keys
from hybrid.mediator.waits import Listener, listening, wanted
from hybrid.runtime import advancing
from hybrid.runtime.handback import hand_back
from hybrid.streams.queries import Queries
from hybrid.streams.transitions import Transition
from tests.mediator.flows import failed, front_door, orders
from tests.runtime.messages import Completed, Denied, Noted, Paid, Pay, Place, Shipped
from tests.runtime.world import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def front():
    """A front door by which orders enter."""
    return front_door()


def hearing(function, hears=Paid):
    """Return a mediator whose flow may wait for these events."""
    return orders(function, hears=hears)


async def paid(event: Place, flow: Flow) -> Completed:
    """Wait until the order is paid."""
    heard = await flow.wait(Paid, match={"order": event.order})
    return Completed(order=f"{heard.order} {heard.receipt}")


async def waits(world, id="f1", step=1):
    return await until(lambda: step in world.flow(id).waits)


def index(world, event=Paid, name="orders"):
    """Return how many steps wait to hear an event, and by what they match it."""
    matches = world.raw.hgetall(world.keys.matches(name))
    return world.raw.zcard(world.keys.waits(name, event.type_name)), matches


async def settled(world, number, name="orders"):
    """Wait until a mediator has settled so many broadcasts."""
    await until(lambda: sum(entry.channel.startswith("topic:") for entry in world.log()) >= number)


async def test_a_flow_hears_the_first_event_that_matches(world, front):
    async with world.running(front, hearing(paid)) as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        assert index(world) == (1, {b"paid order": b"1"})
        for order, receipt in ("o2", "other"), ("o1", "first"), ("o1", "second"):
            await client.publish(Paid(order=order, receipt=receipt), id=receipt)
        assert (await client.wait("f1")).event == Completed(order="o1 first")
        await settled(world, 3)
    record = world.flow("f1")
    assert (record.steps[1].kind, record.steps[1].name) == ("wait", "paid order=o1")
    assert (record.results[1].kind, record.results[1].by) == ("heard", "first")
    assert index(world) == (0, {})
    assert [(e.outcome, e.note) for e in world.log() if e.channel == "topic:paid"] == [
        ("done", ""), ("done", "heard by 1 flow"), ("done", ""),
    ]  # fmt: skip


async def test_what_was_broadcast_before_is_not_heard(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        first = await flow.wait(Paid, match={"order": "o1"})
        second = await flow.wait(Paid, match={"order": "o1"})
        return Completed(order=f"{first.receipt} {second.receipt}")

    app = world.app(front, hearing(place))
    async with app.running() as client:
        await client.publish(Paid(order="o1", receipt="before"))
        await settled(world, 1)
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        await client.publish(Paid(order="o1", receipt="a"))
        await waits(world, step=2)
    async with app.client() as client:  # the group is given everything again
        await asyncio.to_thread(world.raw.xgroup_setid, world.keys.topic("paid"), "orders", "0")
        await client.publish(Paid(order="o1", receipt="b"))
        async with app.running():
            assert (await client.wait("f1")).event == Completed(order="a b")


async def test_a_wait_made_before_the_command_hears_what_that_leads_to(world, front):
    shop = Processor("shop")

    @shop.on(Pay)
    async def pay(command: Pay) -> Paid:
        return Paid(order=command.order)

    async def place(event: Place, flow: Flow) -> Completed:
        heard = flow.wait(Paid, match={"order": event.order}, timeout=60)
        await flow.do(Pay(order=event.order))
        return Completed(order=(await heard).order)

    async with world.running(front, hearing(place), shop) as client:
        ids = [f"f{n}" for n in range(50)]
        await client.send_many([(Place(order=id), id) for id in ids])
        for id in ids:
            assert (await client.wait(id)).event == Completed(order=id)
    assert world.raw.zcard(world.keys.timers) == 0


async def test_a_timeout_is_raised_and_nothing_is_left(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        with pytest.raises(StepTimeout) as late:
            await flow.wait(Paid, match={"order": "o1"}, timeout=0.05)
        await flow.signal("go")
        return Completed(order=late.value.command)

    async with world.running(front, hearing(place)) as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world, step=2)
        assert index(world) == (0, {})
        await client.publish(Paid(order="o1"))
        await settled(world, 1)
        await client.signal("f1", "go")
        assert (await client.wait("f1")).event == Completed(order="wait paid order=o1")
    assert "late" not in world.flow("f1").facts


@pytest.mark.parametrize("proven", [0, 100])
async def test_the_end_of_a_flow_takes_out_what_still_waits(world, front, monkeypatch, proven):
    """Also when its run is kept between its results."""
    monkeypatch.setattr(advancing, "PROVEN", proven)

    async def place(event: Place, flow: Flow) -> Completed:
        heard, denied = (flow.wait(cls, match={"order": "o1"}, timeout=60) for cls in (Paid, Denied))
        index, event = await flow.race(heard, denied, flow.sleep(60))
        return Completed(order=f"{index} {type(event).__name__}")

    async with world.running(front, hearing(place, [Paid, Denied])) as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        assert index(world)[1] == {b"paid order": b"1", b"denied order": b"1"}
        await client.publish(Denied(order="o1"))
        assert (await client.wait("f1")).event == Completed(order="1 Denied")
    assert (index(world), index(world, Denied)) == ((0, {}), (0, {}))
    assert world.raw.zcard(world.keys.timers) == 0


async def test_all_that_wait_for_one_event_hear_it(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        first = flow.wait(Noted, match={"text": "open"})
        second = flow.wait(Noted, match={"text": "open"})
        return Completed(order=f"{(await first).text} {(await second).text}")

    async with world.running(front, hearing(place, Noted)) as client:
        ids = [f"f{n}" for n in range(1_200)]  # more than one read of the index gives
        await client.send_many([(Place(order=id), id) for id in ids])
        await until(lambda: index(world, Noted) == (2_400, {b"noted text": b"2400"}))
        await client.publish(Noted(text="open"))
        for id in ids:
            assert (await client.wait(id)).event == Completed(order="open open")
        await settled(world, 1)
    assert index(world, Noted) == (0, {})
    (entry,) = [entry for entry in world.log() if entry.channel == "topic:noted"]
    assert entry.note == "heard by 2400 flows"


async def test_the_same_event_again_is_heard_once(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        heard = [await flow.wait(Paid, match={"order": "o1"}) for _ in range(2)]
        return Completed(order=" ".join(each.receipt for each in heard))

    app = world.app(front, hearing(place))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        await client.publish(Paid(order="o1", receipt="a"), id="e1")
        await waits(world, step=2)
        (entry,) = world.raw.xrange(world.keys.topic("paid"))
        fields = {**entry[1], b"time": b"%d" % (world.raw.time()[0] * 1000 + 5_000)}
        world.raw.xadd(world.keys.own("orders"), {**fields, b"broadcast": b"1"})
        await settled(world, 1)
        await until(lambda: [e.channel for e in world.log() if e.type == "paid"][1:] == ["own:orders"])
        assert world.flow("f1").waits == {2}
        await client.publish(Paid(order="o1", receipt="b"))
        assert (await client.wait("f1")).event == Completed(order="a b")


async def test_two_mediators_hear_each_for_their_own_flows(world, front):
    others = Mediator("others", handles=HARD)

    @others.flow(Noted, hears=Paid)
    async def note(event: Noted, flow: Flow) -> Completed:
        return Completed(order=(await flow.wait(Paid, match={"order": "o1", "receipt": "r"})).order)

    @front.classify(Noted, HARD)
    def notes(event: Noted):
        return HARD

    app = world.app(front, hearing(paid), others)
    async with app.running() as client, app.worker(["orders"]), app.worker(["others", "orders"]):
        await client.send(Place(order="o1"), id="f1")
        await client.send(Noted(), id="f2")
        await waits(world)
        await waits(world, "f2")
        assert index(world, name="others") == (1, {b"paid order,receipt": b"1"})
        await client.publish(Paid(order="o1"))
        assert (await client.wait("f1")).event == Completed(order="o1 r")
        assert (await client.wait("f2")).event == Completed(order="o1")
        async with app.store() as store:
            books = await until(lambda: _balanced(store, app))
    groups = {group.group: group for group in books.groups}
    assert groups["orders"].settled == groups["others"].settled


async def _balanced(store, app):
    books = await ledger(store, app.topology)
    return books if books.balanced and not any(group.pending for group in books.groups) else None


async def test_workers_that_compete_hear_each_event_once(world, front):
    app = world.app(front, hearing(paid))
    async with app.running() as client, app.worker(["orders"]), app.worker(["orders"]):
        ids = [f"f{n}" for n in range(300)]
        await client.send_many([(Place(order=id), id) for id in ids])
        await until(lambda: index(world)[0] == 300)
        await client.publish_many([Paid(order=id, receipt=f"r{n}") for n, id in enumerate(ids)])
        for n, id in enumerate(ids):
            assert (await client.wait(id)).event == Completed(order=f"{id} r{n}")
        await settled(world, 300)
    notes = Counter(entry.note for entry in world.log() if entry.channel == "topic:paid")
    assert notes == {"heard by 1 flow": 300}
    assert world.failures("orders") == []


async def test_an_event_of_another_shard_is_heard(world, front):
    app = world.app(front, hearing(paid), shards=3)
    async with app.running() as client:
        ids = [f"f{n}" for n in range(12)]
        shards = [Keys(world.name, world.settings.domain, n) for n in range(3)]
        await client.send_many([(Place(order=f"key of {id}"), id) for id in ids])

        def waiting():
            return sum(world.raw.zcard(keys.waits("orders", "paid")) for keys in shards)

        await until(lambda: waiting() == 12)
        assert all(world.raw.zcard(keys.waits("orders", "paid")) < 12 for keys in shards)
        flat = ["id", "e1", "type", "paid", "data", pack({"order": "key of f1", "receipt": "r"})]
        flat = dict(zip(flat[::2], flat[1::2], strict=True))
        home = next(n for n, keys in enumerate(shards) if world.raw.exists(keys.flow("f1")))
        other = shards[(home + 1) % 3]
        world.raw.xadd(other.topic("paid"), flat)
        world.raw.hincrby(other.counters, "entered:topic:paid", 1)
        assert (await client.wait("f1")).event == Completed(order="key of f1 r")
        await until(lambda: waiting() == 11)
        async with app.store() as store:
            await until(lambda: _balanced(store, app))


async def test_a_flow_that_waits_is_shown_and_not_loose(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        heard = await flow.wait(Paid, match={"order": "o1"})
        await flow.wait(Shipped, match={"order": heard.order}, timeout=60)
        return Completed(order="o1")

    app = world.app(front, hearing(place, Paid | Shipped))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        async with app.store() as store:
            assert await loose_flows(store, app.topology) == []
            await client.publish(Paid(order="o1"), id="e1")
            await waits(world, step=2)
            assert await loose_flows(store, app.topology) == []
            view = await view_of(store, app.topology, "f1")
            first, second = view.steps
            (line,) = await summaries(store, app.topology)
            root = (await trace(store, app.topology, "f1")).root
    told = "\n".join(map(str, lines(view)))
    assert "step 1  wait paid order=o1\n" in told
    assert "heard paid e1 in " in told
    assert ' → {"order":"o1","receipt":"r"}' in told.replace(", ", ",").replace(": ", ":")
    assert "it waits to hear shipped order=o1" in told
    assert (first.kind, first.name, first.state) == ("wait", "wait paid order=o1", "heard")
    assert (first.processor, first.reply, first.data) == ("e1", "paid", {"order": "o1", "receipt": "r"})
    assert (second.name, second.state) == ("wait shipped order=o1", "waiting")
    assert second.deadline == second.sent + 60_000
    assert line.waiting_for == ("wait shipped order=o1",)
    sent = {each.component: each.sent for each in root.handlings}["orders"]
    assert [(each.kind, each.type, each.note) for each in sent] == [
        ("wait", "wait paid order=o1", "heard paid e1"),
        ("wait", "wait shipped order=o1", "waiting"),
    ]


async def test_one_that_nothing_will_wake_is_loose(world, front):
    app = world.app(front, hearing(paid))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
    world.raw.delete(world.keys.waits("orders", "paid"))
    async with app.store() as store:
        (loose,) = await loose_flows(store, app.topology)
    assert loose.missing == "step 1 (wait paid order=o1)"


@pytest.mark.parametrize("after", ["another match", "another class"])
async def test_another_match_or_class_is_not_deterministic(world, front, after):
    runs = []

    async def place(event: Place, flow: Flow) -> Completed:
        runs.append(1)
        cls, match = (Paid, {"order": "o1"})
        if len(runs) > 1:
            cls, match = (Denied, match) if after == "another class" else (Paid, {"order": "o2"})
        heard = flow.wait(cls, match=match)
        await flow.sleep(0.01)
        return Completed(order=(await heard).order)

    failure = await failed(world, front, hearing(place, Paid | Denied))
    assert failure.error == "NonDeterministicFlow"
    now = "denied order=o1" if after == "another class" else "paid order=o2"
    assert f"step 1 was paid order=o1 and is now {now}" in failure.message


async def test_what_is_not_declared_is_refused_with_what_to_write(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        return Completed(order=str(await flow.wait(Denied, match={"order": "o1"})))

    failure = await failed(world, front, hearing(place))
    assert failure.error == "ApplicationError"
    assert failure.message == (
        "flow.wait(Denied, match=…): the mediator hears Paid. Declare what its flows listen to:"
        " @mediator.flow(…, hears=Denied)"
    )


@pytest.mark.parametrize("hears", [Pay, "paid", [Paid, None], Event])
def test_hears_takes_events_only(hears):
    with pytest.raises(ApplicationError):
        hearing(paid, hears)


async def test_what_is_no_message_goes_to_the_desk_and_comes_back_as_a_broadcast(world, front):
    app = world.app(front, hearing(paid))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        for data in b"\xc1", pack({"order": 7}):
            world.raw.xadd(world.keys.topic("paid"), {"id": "bad", "type": "paid", "data": data})
        world.raw.xadd(world.keys.topic("paid"), {"id": "bad", "type": "pay", "data": pack({"order": "o1"})})
        world.raw.xadd(world.keys.topic("paid"), {"some": "thing"})
        await until(lambda: len(world.failures("orders")) == 4)
        await client.publish(Paid(order="o1"))
        assert (await client.wait("f1")).event == Completed(order="o1 r")
        assert await world.send_back(app, world.failures("orders")[0]) == 1
        await until(
            lambda: len(world.failures("orders")) == 4 and world.raw.xlen(world.keys.own("orders")) == 0
        )
    assert {failure.channel for failure in world.failures("orders")} == {"topic:paid", "own:orders"}


DEADLY = """
import asyncio, os, signal
from hybrid import App, Settings
from hybrid.runtime.hearing import Hearing
from tests.mediator.flows import front_door
from tests.mediator.test_wait import hearing, twice

async def some(self, audible, all_who_wait=Hearing._all_who_wait):
    return [found[:{most}] for found in await all_who_wait(self, audible)]

def settle(self, one, codes):
    assert codes == [1] * {most}, codes
    os.kill(os.getpid(), signal.SIGKILL)

Hearing._all_who_wait, Hearing._settle = some, settle

async def main():
    app = App({name!r}, [front_door(), hearing(twice)], settings=Settings.load(**{settings!r}))
    async with app.worker(["orders"]) as worker:
        await worker.stopped.wait()

asyncio.run(main())
"""


async def twice(event: Place, flow: Flow) -> Completed:
    """Wait for two payments of one kind, one after the other."""
    heard = [await flow.wait(Paid, match={"order": "o1"}) for _ in range(2)]
    return Completed(order=" ".join(each.receipt for each in heard))


@pytest.mark.parametrize("most", [0, 2, 5])
async def test_a_worker_that_is_killed_between_hearing_and_settling(world, front, most):
    """What some of those waiting have heard is not heard again by them, though they wait for the next."""
    app = world.app(front, hearing(twice), lease_ms=300)
    program = DEADLY.format(name=app.name, settings=app.settings.model_dump(mode="json"), most=most)
    ids = [f"f{n}" for n in range(5)]
    async with app.running() as client:
        await client.send_many([(Place(order=id), id) for id in ids])
        await until(lambda: index(world)[0] == 5)
    async with app.client() as client:
        await client.publish(Paid(order="o1", receipt="a"), id="e1")
        killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=30, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert world.pending(world.keys.topic("paid"), "orders") == 1
        assert sum(1 in world.flow(id).results for id in ids) == most
        async with app.running():
            await until(lambda: all(2 in world.flow(id).waits for id in ids))
            await settled(world, 1)
            assert all(world.flow(id).results[1].by == "e1" for id in ids)
            await client.publish(Paid(order="o1", receipt="b"), id="e2")
            for id in ids:
                assert (await client.wait(id)).event == Completed(order="a b")
            async with app.store() as store:
                await until(lambda: _balanced(store, app))
    assert world.raw.hgetall(world.keys.starts) == {}


async def test_what_was_read_and_not_begun_is_handed_back_and_heard_by_another(world, front):
    app = world.app(front, hearing(paid))
    async with app.worker() as worker, app.client() as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        (lane,) = [lane for lane in worker._lanes if not lane.queue]
    async with app.client() as client, app.store() as store:
        await client.publish(Paid(order="o1"), id="e1")
        ((_, entries),) = world.raw.xreadgroup("orders", "leaving", {lane.stream: ">"})
        lane.shard = store.shards[0]
        assert await hand_back(lane.accept(entries, 0), [lane]) == 1
        async with app.running():
            assert (await client.wait("f1")).event == Completed(order="o1 r")
            await until(lambda: _balanced(store, app))


async def test_the_server_is_away_while_an_event_is_looked_up(world, front, monkeypatch):
    app, refused = world.app(front, hearing(paid)), []
    prefixed = Queries.prefixed

    async def away(self, sought):
        refused.append(1)
        if len(refused) < 3:
            raise ServerUnavailable("away")
        return await prefixed(self, sought)

    monkeypatch.setattr(Queries, "prefixed", away)
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        await client.publish(Paid(order="o1"))
        assert (await client.wait("f1")).event == Completed(order="o1 r")
    assert len(refused) == 3


async def test_an_event_that_can_not_be_given_is_for_the_desk(world, front, monkeypatch):
    app = world.app(front, hearing(paid))
    async with app.running() as client:
        await client.send(Place(order="o1"), id="f1")
        await waits(world)
        world.raw.hset(world.keys.flow("f1"), "need", "many")  # the script can't count it down
        await client.publish(Paid(order="o1"))
        failure = await world.failure("orders")
    assert failure.message == "the server refused what a flow heard; the worker's log says why"


async def test_many_that_wait_cost_little(world, front):
    """20,000 flows wait: so many bytes each in the index, and an event for one of them reads one."""
    keys, most = world.keys, 20_000
    match = wanted("flow.wait", Paid, {"order": "o"}).match
    app = world.app(front, hearing(paid))
    async with app.store() as store:
        await store.open()
        shard = store.shards[0]
        for start in range(0, most, 1_000):
            items = []
            for n in range(start, start + 1_000):
                one = match._replace(digest=b"%016d" % n)
                items.append(listening(keys, "orders", one, Listener(f"{n:024x}", 1, 3)))
            assert await shard.settler.settle(Transition(effects=items)) == 1
        assert index(world) == (most, {b"paid order": b"%d" % most})
        assert world.raw.memory_usage(keys.waits("orders", "paid"), samples=0) / most < 170
        found = await shard.queries.prefixed([(keys.waits("orders", "paid"), b"%016d" % 7)])
    assert [list(map(Listener.read, each)) for each in found] == [[Listener(f"{7:024x}", 1, 3)]]


async def test_one_that_begins_anew_hears_the_next_event_each_time(world, front):
    async def place(event: Place, flow: Flow) -> Completed:
        flow.cancel_on(Denied, match={"order": event.order})
        heard = await flow.wait(Paid, match={"order": event.order}, timeout=60)
        if event.total > 0:
            flow.continue_as_new(Place(order=event.order, total=event.total - 1))
        return Completed(order=heard.receipt)

    async with world.running(front, hearing(place, Paid | Denied)) as client:
        await client.send(Place(order="o1", total=3), id="f1")
        for run in (1, 2, 3, 4):
            await until(lambda run=run: world.flow("f1").run == run and 2 in world.flow("f1").waits)
            assert (index(world)[0], index(world, Denied)[0]) == (1, 1)
            assert world.raw.zcard(world.keys.timers) == 1
            await client.publish(Paid(order="o1", receipt=f"r{run}"))
        assert (await client.wait("f1")).event == Completed(order="r4")
    assert (index(world), world.raw.zcard(world.keys.timers)) == ((0, {}), 0)
