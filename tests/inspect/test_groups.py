"""The groups of topics: where they stand, what a reset does to the books, and removing one."""

from __future__ import annotations

import asyncio

import pytest

from hybrid import HARD, App, Event, Flow, Mediator, Processor, RetryPolicy, WorkflowProcessor
from hybrid.errors import ApplicationError
from hybrid.inspect.actions import ARCHIVE, Desk, Order
from hybrid.inspect.desk import Selection, selected
from hybrid.inspect.desk_log import Deed
from hybrid.inspect.groups import LIVE, MISSING, REPLAYING, chosen, groups, remove, reset
from hybrid.inspect.ledger import ledger
from hybrid.inspect.status import status


class Heard(Event):
    n: int


class Seen(Event):
    n: int


def listener(name, *events, fails=()):
    """Return a processor that listens to these events."""
    made = Processor(name)
    made.heard = []

    async def listen(event):
        made.heard.append(event.n)
        if event.n in fails:
            raise KeyError(event.n)

    for event in events:
        made.on(event, retry=RetryPolicy(attempts=1))(listen)
    return made


@pytest.fixture
def app(fresh, settings):
    """Make an application of these processors, which may hear Heard and Seen."""

    def make(*processors):
        return App(fresh, processors, messages=[Heard, Seen], settings=settings)

    return make


@pytest.fixture
def place(app, store):
    """What stands in the store, as an application of these processors sees it."""

    class Place:
        def __init__(self, *processors):
            self.app, self.store = app(*processors), store

        async def groups(self):
            return {(view.topic, view.group): view for view in await groups(store, self.app.topology)}

        async def group(self, name):
            return await chosen(store, self.app.topology, name)

        async def settled(self):
            books = await ledger(store, self.app.topology)
            while any(g.waiting + g.pending + g.later for g in books.groups):
                await asyncio.sleep(0.01)
                books = await ledger(store, self.app.topology)
            return books

        async def books(self, name):
            books = await ledger(store, self.app.topology)
            assert books.balanced, books
            return next((group for group in books.groups if group.group == name), None)

        async def run(self, *events):
            async with self.app.running() as client:
                await client.publish_many(events)
                assert (await self.settled()).balanced

        async def publish(self, *events):
            async with self.app.client() as client:
                await client.publish_many(events)

    return Place


async def test_where_they_stand(place, store, raw):
    ear = listener("ear", Heard, Seen)
    now = place(ear)
    await now.run(*(Heard(n=n) for n in range(3)))
    await now.publish(*(Heard(n=n) for n in range(5)))
    raw.xgroup_create(store.shards[0].keys.topic("heard"), "stranger", "0")
    found = await now.groups()
    assert set(found) == {("heard", "ear"), ("heard", "stranger"), ("seen", "ear")}
    view = found["heard", "ear"]
    assert (view.state, view.waiting, view.pending, view.consumers) == (LIVE, 5, 0, ())
    assert (view.registered, view.retired) == (True, False)
    assert (view.position, view.oldest) == (
        raw.xrange(store.shards[0].keys.topic("heard"))[2][0].decode(),
        int(raw.xrange(store.shards[0].keys.topic("heard"))[3][0].partition(b"-")[0]),
    )
    stranger = found["heard", "stranger"]
    assert (stranger.registered, stranger.retired, stranger.waiting) == (False, True, 8)
    assert (await place(listener("ear", Seen)).groups())["heard", "ear"].retired
    raw.xgroup_destroy(store.shards[0].keys.topic("seen"), "ear")
    assert (await now.groups())["seen", "ear"].state == MISSING
    with pytest.raises(ApplicationError, match="group ear of topic seen is missing, though it is registered"):
        await reset(store, await now.group("ear"), "now")


async def test_one_that_is_not_there_is_told(place, store):
    now = place(listener("ear", Heard))
    with pytest.raises(ApplicationError, match=r"no group ear: there are none"):
        await now.group("ear")
    await now.run()
    with pytest.raises(ApplicationError, match=r"no group eye: there are ear \(`hybrid groups list`\)"):
        await now.group("eye")
    with pytest.raises(ApplicationError, match=r"no group ear of topic seen: it has heard"):
        await chosen(store, now.app.topology, "ear", "seen")


async def test_backwards_what_was_settled_comes_again(place, store, raw):
    ear = listener("ear", Heard)
    now = place(ear)
    await now.run(*(Heard(n=n) for n in range(10)))
    view = await now.group("ear")
    (plan,) = await reset(store, view, "beginning", really=False)
    assert (plan.replayed, plan.skipped) == (10, 0)
    assert (await now.books("ear")).entered == 10
    fifth = raw.xrange(store.shards[0].keys.topic("heard"))[5][0].decode()
    (done,) = await reset(store, view, fifth)
    assert (done.replayed, done.skipped) == (5, 0)
    books = await now.books("ear")
    assert (books.entered, books.settled, books.waiting) == (15, 10, 5)
    (view,) = await now.group("ear")
    assert (view.state, view.waiting) == (REPLAYING, 5)
    assert view.replayed_upto == raw.xrange(store.shards[0].keys.topic("heard"))[-1][0].decode()
    ear.heard.clear()
    await now.run()
    assert sorted(ear.heard) == [5, 6, 7, 8, 9]
    (view,) = await now.group("ear")
    assert (view.state, view.replayed_upto) == (LIVE, "")


async def test_forwards_what_is_passed_over_is_discarded(place, store):
    ear = listener("ear", Heard)
    now = place(ear)
    await now.run()
    await now.publish(*(Heard(n=n) for n in range(4)))
    (done,) = await reset(store, await now.group("ear"), "now")
    assert (done.replayed, done.skipped) == (0, 4)
    books = await now.books("ear")
    assert (books.entered, books.discarded, books.waiting) == (4, 4, 0)
    (again,) = await reset(store, await now.group("ear"), "now")
    assert (again.replayed, again.skipped) == (0, 0)
    await now.run()
    assert ear.heard == []
    assert not (await status(store, now.app.topology)).sickness[1:]


async def test_what_is_pending_behind_the_place_comes_again_once(place, store, raw):
    """Some is read by a consumer that never settles it, and one of it lies before the place."""
    ear = listener("ear", Heard)
    now, topic = place(ear), store.shards[0].keys.topic("heard")
    await now.run()
    await now.publish(*(Heard(n=n) for n in range(6)))
    raw.xreadgroup("ear", "lost", {topic: ">"}, count=4)
    entries = [entry.decode() for entry, _ in raw.xrange(topic)]
    (done,) = await reset(store, await now.group("ear"), entries[1])
    assert done.replayed == 3
    books = await now.books("ear")
    assert (books.entered, books.waiting, books.pending) == (6, 5, 1)
    assert raw.hget(store.shards[0].keys.groups, "mark:topic:heard|ear") < entries[0].encode()
    await now.run()
    assert sorted(ear.heard) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("other", [True, False])
async def test_a_retired_one_is_removed_with_its_books(place, store, raw, other):
    ear, eye = listener("ear", Heard, Seen), listener("eye", Heard)
    await place(ear, eye).run(*(Heard(n=n) for n in range(5)), *(Seen(n=n) for n in range(3)))
    now = place(eye) if other else place()
    await now.publish(*(Heard(n=n) for n in range(2)))
    raw.xreadgroup("ear", "gone", {store.shards[0].keys.topic("heard"): ">"}, count=1)
    assert (await now.books("ear")).waiting == 1
    done = await remove(store, now.app.topology, await now.group("ear"))
    assert [(each.topic, each.waiting, each.pending) for each in done] == [("heard", 1, 1), ("seen", 0, 0)]
    assert await now.books("ear") is None
    assert {group for _, group in await now.groups()} == {"eye"}
    assert not [field for field in raw.hkeys(store.shards[0].keys.groups) if field.endswith(b"|ear")]
    assert not [field for field in raw.hkeys(store.shards[0].keys.counters) if field.endswith(b":ear")]
    ear.heard.clear()
    await place(ear, eye).run()
    assert len(ear.heard) == 10  # it begins anew


async def test_one_of_its_topics_is_removed(place, store):
    await place(listener("ear", Heard, Seen)).run(*(Heard(n=n) for n in range(5)), Seen(n=1), Seen(n=2))
    now = place(listener("ear", Seen))
    await remove(store, now.app.topology, await chosen(store, now.app.topology, "ear", "heard"))
    books = await now.books("ear")
    assert (books.entered, books.settled, [each.channel for each in books.channels]) == (
        2, 2, ["own:ear", "topic:seen"],
    )  # fmt: skip


async def test_one_that_is_lost_is_struck_off(place, store, raw):
    await place(listener("ear", Heard)).run(Heard(n=1))
    raw.xgroup_destroy(store.shards[0].keys.topic("heard"), "ear")
    now = place()
    await remove(store, now.app.topology, await now.group("ear"))
    assert await now.groups() == {}


async def test_a_served_one_is_not_removed_unless_forced(place, store):
    now = place(listener("ear", Heard))
    async with now.app.running() as client:
        await client.publish(Heard(n=1))
        await now.settled()
        with pytest.raises(
            ApplicationError, match=r"group ear of topic heard is served by \S+: stop that first"
        ):
            await remove(store, now.app.topology, await now.group("ear"))
        (done,) = await remove(store, now.app.topology, await now.group("ear"), force=True)
        assert done.topic == "heard"
        await client.publish(Heard(n=2))
        while (await now.groups()).get(("heard", "ear")) is None:  # its worker begins it anew
            await asyncio.sleep(0.01)
        await now.settled()
        await now.books("ear")


@pytest.mark.parametrize("archived", [False, True])
async def test_what_has_failed_is_not_thrown_away_unless_forced(place, store, archived):
    await place(listener("ear", Heard, fails=[1])).run(*(Heard(n=n) for n in range(3)))
    now = place()
    if archived:
        orders = [Order(view) async for view in selected(store, now.app.topology, Selection())]
        await Desk(store, now.app.topology, Deed("ann", ARCHIVE)).act(orders)
    with pytest.raises(
        ApplicationError,
        match=r"ear has 1 failed deliveries, 0 in repair, 0 to be tried again, 0 held and 0 on its own",
    ):
        await remove(store, now.app.topology, await now.group("ear"))
    books = await now.books("ear")
    assert (books.failed, books.archived) == ((0, 1) if archived else (1, 0))
    (done,) = await remove(store, now.app.topology, await now.group("ear"), force=True)
    assert done.besides == 1
    assert await now.books("ear") is None


async def test_what_is_in_repair_goes_with_a_group_only_when_forced(place, store, raw):
    fixer = WorkflowProcessor("fixer")
    fixer.repairs(Heard, on=KeyError)(lambda failed: None)
    shop = place(listener("ear", Heard, fails=[1]), fixer)
    async with shop.app.running("ear") as client:
        await client.publish_many([Heard(n=n) for n in range(3)])
        await shop.settled()
    now = place()
    assert (await now.books("ear")).repair == 1
    with pytest.raises(ApplicationError, match="ear has 0 failed deliveries, 1 in repair"):
        await remove(store, now.app.topology, await now.group("ear"))
    (done,) = await remove(store, now.app.topology, await now.group("ear"), force=True)
    assert done.besides == 1
    assert await now.books("ear") is None
    assert raw.exists(store.shards[0].keys.repair("fixer", "ear")) == 0


async def test_each_shard_has_its_own(fresh, settings):
    ear = listener("ear", Heard)
    app = App(fresh, [ear], settings=settings.model_copy(update={"shards": 3}))
    async with app.running() as client, app.store() as store:
        await client.publish_many([Heard(n=n) for n in range(30)])
        while len(ear.heard) < 30 or any(view.pending for view in await groups(store, app.topology)):
            await asyncio.sleep(0.01)
        views = await chosen(store, app.topology, "ear")
        assert [view.shard for view in views] == [0, 1, 2]
        done = await reset(store, views, "beginning")
        assert sum(each.replayed for each in done) == 30
        while len(ear.heard) < 60:
            await asyncio.sleep(0.01)
        assert (await ledger(store, app.topology)).balanced


async def test_a_mediator_whose_flows_wait_is_a_group_until_it_is_removed(place, store):
    waiting = Mediator("waiting", handles=HARD)

    @waiting.flow(Seen, hears=Heard)
    async def wait(event: Seen, flow: Flow) -> None:
        await flow.wait(Heard, match={"n": event.n})

    now = place(waiting)
    await now.publish(Heard(n=1))
    await now.run(Heard(n=2))
    view = (await now.groups())["heard", "waiting"]
    assert (view.state, view.waiting, view.pending, view.registered, view.retired) == (
        LIVE,
        0,
        0,
        True,
        False,
    )
    books = await now.books("waiting")
    assert (books.entered, books.settled) == (1, 1)  # what was before it began is none of its
    later = place(listener("ear", Heard))
    await later.publish(Heard(n=3))
    (view,) = await later.group("waiting")
    assert (view.retired, view.waiting) == (True, 1)
    assert (await later.books("waiting")).waiting == 1
    await remove(store, later.app.topology, [view], force=True)
    assert ("heard", "waiting") not in await later.groups()
