"""Schedules: added, written anew, removed, and run besides their ticks."""

import pytest

from hybrid import App
from hybrid.broker.recurring import Plan
from hybrid.errors import ApplicationError, MessageTooLarge, ScheduleError
from hybrid.inspect import schedules
from hybrid.inspect.scheduled import scheduled_messages
from hybrid.inspect.schedules import add, remove, run_now
from tests.cli import shop

DAILY = Plan("0 8 * * *")


@pytest.fixture(params=[1, 4])
def app(fresh, settings, request):
    """The small application, in one shard and in several."""
    changed = settings.model_copy(update={"shards": request.param, "max_message_bytes": 1024})
    return App(fresh, [shop.front, shop.boss, shop.worker, shop.listener], settings=changed)


@pytest.fixture
async def opened(app):
    async with app.store() as store:
        await store.open()
        yield store


def members(store, raw):
    return [member for shard in store.shards for member in raw.zrange(shard.keys.scheduled, 0, -1)]


async def test_a_name_is_taken_until_it_is_removed(app, opened, raw):
    added = await add(opened, app.topology, "daily", shop.Ping(n=1), DAILY)
    with pytest.raises(ScheduleError, match="a schedule is called daily already: --replace"):
        await add(opened, app.topology, "daily", shop.Ping(n=2), DAILY)
    assert await schedules.schedules(opened) == [added]
    assert members(opened, raw) == [added.member]
    assert await scheduled_messages(opened, app.topology) == []
    assert await remove(opened, "daily")
    assert not await remove(opened, "daily")
    assert members(opened, raw) == []
    assert await schedules.schedules(opened) == []


async def test_it_is_written_anew(app, opened, raw):
    for n in range(6):  # with several shards the key leads to another one
        written = await add(opened, app.topology, "daily", shop.Ping(n=n), DAILY, replace=True)
        assert await schedules.schedules(opened) == [written]
        assert members(opened, raw) == [written.member]


async def test_it_stands_in_the_shard_of_the_events_key(app, opened, raw):
    await add(opened, app.topology, "daily", shop.Ping(n=7), DAILY)
    shard = opened.shard_of("7")
    assert raw.hkeys(shard.keys.schedules) == [b"daily"]


async def test_nothing_is_written_of_what_can_not_be(app, opened, raw):
    for event, name, error in [
        (shop.Ping(n=1), "a b", ScheduleError),
        (shop.Ended(n=1), "daily", ApplicationError),
        (shop.Go(n=1, note="x" * 2000), "daily", MessageTooLarge),
    ]:
        with pytest.raises(error):
            await add(opened, app.topology, name, event, DAILY)
    assert await schedules.schedules(opened) == []
    assert members(opened, raw) == []


async def test_it_runs_besides_its_ticks(app, opened, raw):
    added = await add(opened, app.topology, "daily", shop.Ping(n=1), DAILY)
    ids = {await run_now(opened, "daily"), await run_now(opened, "daily")}
    shard = opened.shard_of("1")
    entries = raw.xrange(shard.keys.event("front"))
    assert {fields[b"id"].decode() for _, fields in entries} == ids
    assert members(opened, raw) == [added.member]
    with pytest.raises(ScheduleError, match="no schedule is called weekly"):
        await run_now(opened, "weekly")
