"""What is sent later: listed, cancelled, and counted by the status."""

from datetime import timedelta

import pytest

from hybrid import App
from hybrid.errors import InvalidMessage
from hybrid.inspect.scheduled import cancel, scheduled_messages
from hybrid.inspect.status import status
from tests.cli import shop

MINUTE = timedelta(minutes=1)


@pytest.fixture(params=[1, 4])
def app(fresh, settings, request):
    """The small application, in one shard and in several."""
    changed = settings.model_copy(update={"shards": request.param})
    return App(fresh, [shop.front, shop.boss, shop.worker, shop.listener], settings=changed)


async def test_it_is_listed_by_time_with_secrets_masked_and_cancelled_by_id(app):
    async with app.client() as client, app.store() as store:
        for n in range(5):
            await client.send(shop.Go(n=n, token="5817"), id=f"go-{n}", after=(5 - n) * MINUTE)
        found = await scheduled_messages(store, app.topology)
        assert [each.id for each in found] == [f"go-{n}" for n in (4, 3, 2, 1, 0)]
        assert {each.channel for each in found} == {"event:front"}
        assert found[0].data["token"] == "*" * 10
        looked = await status(store, app.topology)
        assert looked.scheduled == 5
        assert looked.ledger.balanced
        assert await cancel(store, "go-3")
        assert not await cancel(store, "go-3")
        assert not await cancel(store, "go")
        assert len(await scheduled_messages(store, app.topology)) == 4
        assert (await client.send(shop.Go(n=3), id="go-3")).duplicate


async def test_a_pattern_is_no_id(app):
    async with app.client() as client, app.store() as store:
        await client.send(shop.Go(n=1), after=MINUTE)
        with pytest.raises(InvalidMessage):
            await cancel(store, "*")
        assert len(await scheduled_messages(store, app.topology)) == 1


async def test_many_are_listed_and_one_of_them_is_found(app, raw):
    async with app.client() as client, app.store() as store:
        await client.send(shop.Go(n=1), id="needle", after=MINUTE)
        (shard,) = [s for s in store.shards if raw.exists(s.keys.scheduled)]
        ((member, due),) = raw.zrange(shard.keys.scheduled, 0, -1, withscores=True)
        packed = member.partition(b"\0")[2]
        raw.zadd(shard.keys.scheduled, {b"hay-%d\0" % n + packed: due + n for n in range(3000)})
        assert len(await scheduled_messages(store, app.topology)) == 3001
        assert await cancel(store, "needle")
        assert raw.zcard(shard.keys.scheduled) == 3000
