"""The tail: broadcasts and deliveries in the order of time, history and live, without gap or double."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing, asynccontextmanager

import pytest

from hybrid import App, Event, Processor
from hybrid.errors import UnknownMessage
from hybrid.inspect.happenings import BROADCAST, REMEMBERED, UNDECODABLE, Happening, Origins
from hybrid.inspect.tail import ALL, EVERYTHING, PAGE, Period, Tail, Wanted
from hybrid.settings import Settings
from tests.cli import shop
from tests.runtime.world import until
from tests.servers import VALKEY, spawn
from tests.test_cloudevents import checked

COMPONENTS = [shop.front, shop.boss, shop.worker, shop.listener]


class Rang(Event, key="n"):
    n: int


@pytest.fixture
def app(fresh, settings):
    """The small application under a name of its own."""
    return App(fresh, COMPONENTS, messages=[Rang], settings=settings)


async def told(store, app, wanted=ALL, period=EVERYTHING):
    """Return all happenings, oldest first, after checking that both directions say the same."""
    tail = Tail(store, app.topology, wanted)
    await tail.begin()
    newest = await tail.newest(100_000, period)
    oldest = [each async for some in tail.history(period) for each in some]
    assert [each.order for each in newest] == [each.order for each in oldest]
    assert [each.order for each in oldest] == sorted(each.order for each in oldest)
    return oldest


async def finished(store, app, flow, deliveries):
    """Wait until so many deliveries of a flow are in the log."""

    async def there():
        return len([h for h in await told(store, app, Wanted(flow=flow)) if h.delivered]) >= deliveries

    await until(there)


@asynccontextmanager
async def following(store, app, wanted=ALL):
    """Follow what happens from now on; give the list that grows."""
    tail = Tail(store, app.topology, wanted)
    await tail.begin()
    found: list[Happening] = []

    async def follow():
        async with aclosing(tail.live()) as live:
            async for some in live:
                found.extend(some)

    task = asyncio.create_task(follow())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class TestHistory:
    async def test_a_flow_from_its_classification_to_who_listened(self, app, store):
        async with app.running() as client:
            await client.wait((await client.send(shop.Go(n=7, token="5817"), id="f1")).id)
            await finished(store, app, "f1", 5)
        lines = [(h.what, h.type, h.component) for h in await told(store, app)]
        assert sorted(lines) == sorted(
            [
                ("classified", "go", "front"),
                ("started", "go", "boss"),
                ("done", "work", "worker"),
                ("broadcast", "worked", "worker"),
                ("done", "worked", "listener"),
                ("ended", "wake-up", "boss"),
                ("broadcast", "ended", "boss"),
            ]
        )
        assert [line for line in lines if line[0] != BROADCAST][:3] == [
            ("classified", "go", "front"),
            ("started", "go", "boss"),
            ("done", "work", "worker"),
        ]
        assert lines.index(("broadcast", "worked", "worker")) < lines.index(("done", "worked", "listener"))

    async def test_each_knows_its_flow_key_and_class(self, app, store):
        async with app.running() as client:
            await client.wait((await client.send(shop.Go(n=7), id="f1")).id)
            await finished(store, app, "f1", 5)
        found = await told(store, app)
        assert {h.flow for h in found} == {"f1"}
        assert {(h.type, h.key) for h in found} == {
            ("go", "7"), ("work", "7"), ("worked", "7"), ("wake-up", "7"), ("ended", "7")
        }  # fmt: skip
        assert {h.event_class for h in found} == {"hard"}
        classified = next(h for h in found if h.type == "go")
        broadcast = next(h for h in found if h.type == "worked")
        assert classified.note == "hard by by_habit: it always was"
        assert broadcast.data == {"n": 7}
        work = next(h for h in found if h.type == "work")
        assert (work.envelope.step, work.envelope.attempt, work.data) == (1, 1, None)
        assert work.taken <= work.time

    async def test_retries_and_failures_and_what_is_wanted(self, app, store):
        async with app.running() as client:
            await client.send(shop.Go(n=13), id="bad")
            await client.wait("bad")
            await client.wait((await client.send(shop.Go(n=1), id="good")).id)
            await finished(store, app, "good", 5)
        tried = await told(store, app, Wanted(types=frozenset({"work"}), flow="bad"))
        assert [(h.what, h.envelope.attempt) for h in tried] == [("retried", 1), ("failed", 2)]
        assert "thirteen" in tried[1].note
        assert [h.what for h in await told(store, app, Wanted(failed=True))] == ["failed"]
        assert {h.flow for h in await told(store, app, Wanted(key="13"))} == {"bad"}
        assert {h.flow for h in await told(store, app, Wanted(flow="good"))} == {"good"}
        assert {h.type for h in await told(store, app, Wanted(types=frozenset({"worked"})))} == {"worked"}
        assert {h.flow for h in await told(store, app, Wanted(text=re.compile("thir.een")))} == {"bad"}
        data = await told(store, app, Wanted(text=re.compile(r'\{"n": 1\}')))
        assert {(h.what, h.type) for h in data} == {(BROADCAST, "worked"), (BROADCAST, "ended")}

    async def test_the_class_of_simple_events_and_what_they_lead_to(self, app, store):
        async with app.running() as client:
            await client.wait((await client.send(shop.Go(n=1), id="h1")).id)
            await client.wait((await client.send(shop.Ping(n=2), id="s1")).id)
            await finished(store, app, "h1", 5)
            await finished(store, app, "s1", 2)
        simple = await told(store, app, Wanted(event_class="simple"))
        assert [(h.what, h.type, h.flow) for h in simple] == [
            ("classified", "ping", "s1"),
            ("done", "touch", "s1"),
        ]
        assert {h.flow for h in await told(store, app, Wanted(event_class="hard"))} == {"h1"}
        assert await told(store, app, Wanted(event_class="complex")) == []

    async def test_pages_shards_and_periods(self, fresh, settings):
        many = Settings.load(**{**settings.model_dump(), "shards": 3})
        app = App(fresh, COMPONENTS, messages=[Rang], settings=many)
        async with app.client() as client, app.store() as store:
            await client.publish_many([Rang(n=n) for n in range(PAGE * 4)])
            first = await told(store, app)
            assert sorted(int(h.key) for h in first) == list(range(PAGE * 4))
            assert {h.shard for h in first} == {0, 1, 2}
            middle = first[len(first) // 2].time
            early, late = Period("", str(middle - 1)), Period(str(middle), "")
            halves = [await told(store, app, period=period) for period in (early, late)]
            assert [h.order for half in halves for h in half] == [h.order for h in first]
            assert all(h.time >= middle for h in halves[1])
            one = first[3]
            exact = await told(store, app, period=Period(one.entry, one.entry))
            assert {h.entry for h in exact} == {one.entry}
            tail = Tail(store, app.topology)
            await tail.begin()
            assert [h.order for h in await tail.newest(7)] == [h.order for h in first[-7:]]
            await client.publish(Rang(n=-1))
            assert len(await tail.newest(100_000)) == PAGE * 4

    async def test_what_nobody_can_read_is_told_all_the_same(self, app, store, raw):
        keys = store.shards[0].keys
        async with app.client() as client:
            await client.publish(Rang(n=1), id="r1")
        raw.xadd(keys.topic("rang"), {"id": "x", "nonsense": "1"})
        raw.xadd(keys.topic("rang"), {"id": "x", "type": "rang", "data": b"\xc1"})
        raw.xadd(keys.topic("rang"), {"id": "y", "type": "stranger", "data": b"\x81\xa3pin\xa45817"})
        good, none, bytes_, stranger = await told(store, app)
        assert (good.what, good.envelope.id, good.data) == (BROADCAST, "r1", {"n": 1})
        assert (none.what, none.type, none.data) == (UNDECODABLE, "rang", None)
        assert bytes_.data == "1 bytes that are no message data"
        assert stranger.data == {"pin": "**********"}
        assert "no message is called 'stranger'" in stranger.note
        for each in (good, none, bytes_, stranger):
            checked(each.cloud_event("shop"))

    async def test_an_unknown_type_names_similar_ones_unless_the_store_knows_it(self, app, store, raw):
        with pytest.raises(UnknownMessage, match="did you mean rang"):
            await told(store, app, Wanted(types=frozenset({"rangg"})))
        async with app.client() as client:
            await client.publish(Rang(n=1))
        plain = App(app.name, COMPONENTS, settings=app.settings)
        (only,) = await told(store, plain, Wanted(types=frozenset({"rang"})))
        assert only.data == {"n": "**********"}

    async def test_every_happening_is_a_valid_cloud_event(self, app, store):
        async with app.running() as client:
            for n, event in enumerate([shop.Go(n=13), shop.Go(n=1, token="5817"), shop.Ping(n=1)]):
                await client.wait((await client.send(event, id=f"f{n}")).id)
            await finished(store, app, "f1", 5)
        found = await told(store, app)
        events = [checked(each.cloud_event(app.name)) for each in found]
        assert len({(event["source"], event["id"]) for event in events}) == len(events)
        assert {event["type"] for event in events} >= {
            "worked", "ended", "hybrid.delivery.classified", "hybrid.delivery.retried",
            "hybrid.delivery.failed",
        }  # fmt: skip
        (failed,) = (event for event in events if event["type"] == "hybrid.delivery.failed")
        assert failed["messageid"] == "f0/1/1"
        assert (failed["messagetype"], failed["subject"], failed["step"]) == ("work", "13", 1)
        assert failed["source"] == f"/{app.name}/worker"

    async def test_looking_writes_nothing(self, fresh, settings, raw):
        app = App(fresh, COMPONENTS, settings=settings)
        async with app.store() as store:
            assert await told(store, app) == []
        assert raw.keys(f"{{{fresh}.*") == []


class TestLive:
    @pytest.mark.parametrize("shards", [1, 3])
    async def test_history_and_live_meet_without_gap_or_double(self, fresh, settings, shards):
        app = App(
            fresh, COMPONENTS, messages=[Rang],
            settings=Settings.load(**{**settings.model_dump(), "shards": shards}),
        )  # fmt: skip
        async with app.client() as client, app.store() as store:
            sending = asyncio.create_task(self.send(client, 2000))
            await until(lambda: store.shards[0].queries.lengths([store.shards[0].keys.topic("rang")]))
            tail = Tail(store, app.topology)
            await tail.begin()
            found = [each async for some in tail.history() for each in some]
            async with aclosing(tail.live()) as live:
                async for some in live:
                    found += some
                    if len(found) >= 2000:
                        break
            await sending
        assert sorted(int(h.key) for h in found) == list(range(2000))

    @staticmethod
    async def send(client, number):
        for n in range(0, number, 20):
            await client.publish_many([Rang(n=m) for m in range(n, n + 20)])

    async def test_live_is_in_order_over_all_shards(self, fresh, settings):
        app = App(
            fresh,
            COMPONENTS,
            messages=[Rang],
            settings=Settings.load(**{**settings.model_dump(), "shards": 4}),
        )
        async with app.client() as client, app.store() as store, following(store, app) as found:
            await self.send(client, 1000)
            await until(lambda: len(found) >= 1000)
        assert [h.order for h in found] == sorted(h.order for h in found)

    async def test_who_reads_slowly_gets_everything_all_the_same(self, app, store, monkeypatch):
        monkeypatch.setattr("hybrid.inspect.tail.AHEAD", 1)
        tail = Tail(store, app.topology)
        await tail.begin()
        found = []
        async with app.client() as client, aclosing(tail.live()) as live:
            await self.send(client, PAGE)
            async for some in live:
                found += some
                if len(found) == PAGE:
                    await self.send(client, PAGE * 6)
                if len(found) >= PAGE * 7:
                    break
        assert [h.order for h in found] == sorted(h.order for h in found)

    async def test_a_stream_with_more_than_a_page_keeps_the_others_waiting(self, app, store, raw):
        keys = store.shards[0].keys
        async with following(store, app) as found:
            pipe = raw.pipeline(transaction=False)
            for n in range(PAGE * 3):
                pipe.xadd(keys.topic("rang"), {"id": f"r{n}", "type": "rang"}, id=f"{1000 + n}-0")
                pipe.xadd(keys.topic("worked"), {"id": f"w{n}", "type": "worked"}, id=f"{1000 + 5 * n}-1")
            pipe.execute()
            await until(lambda: len(found) >= PAGE * 6)
        assert [h.order for h in found] == sorted(h.order for h in found)

    async def test_only_what_is_wanted_and_no_group_or_consumer(self, app, store, raw):
        wanted = Wanted(types=frozenset({"work", "worked"}))
        async with app.running() as client, following(store, app, wanted) as found:
            await client.wait((await client.send(shop.Go(n=1), id="f1")).id)
            await until(lambda: len(found) >= 3)
            assert {h.type for h in found} == {"work", "worked"}
            groups = raw.xinfo_groups(store.shards[0].keys.topic("worked"))
            assert [group["name"] for group in groups] == [b"listener"]
            assert raw.exists(store.shards[0].keys.log)

    async def test_a_topic_that_the_application_does_not_know_is_found(self, app, store, monkeypatch):
        monkeypatch.setattr("hybrid.inspect.tail.RELIST", 0.05)
        plain = App(app.name, COMPONENTS, settings=app.settings)
        async with app.client() as client, following(store, plain) as found:
            await client.publish(Rang(n=1), id="r1")
            await until(lambda: [h.envelope.id for h in found] == ["r1"])

    async def test_it_goes_on_after_a_restart_of_the_server(self, fresh, settings, tmp_path, caplog):
        with spawn(VALKEY, tmp_path / "server", extra_args=("--appendonly", "yes")) as server:
            own = Settings.load(**{**settings.model_dump(), "redis_url": server.url})
            app = App(fresh, [Processor("p")], messages=[Rang], settings=own)
            async with app.client() as client, app.store() as store, following(store, app) as found:
                await client.publish(Rang(n=1), id="before")
                await until(lambda: found)
                await asyncio.to_thread(server.restart)
                await until(lambda: _published(client, "after"))
                await until(lambda: len(found) >= 2)
            assert [h.envelope.id for h in found] == ["before", "after"]
        assert caplog.text.count("waiting for it") <= 1

    async def test_an_error_of_the_server_ends_it(self, app, store, raw):
        raw.set(store.shards[0].keys.topic("rang"), "no stream")
        tail = Tail(store, app.topology, Wanted(types=frozenset({"work"})))
        await tail.begin()
        tail._wanted = Wanted()
        with pytest.raises(Exception, match="WRONGTYPE"):
            async for _ in tail.live():
                pass
        raw.delete(store.shards[0].keys.topic("rang"))


async def _published(client, id):
    try:
        return await client.publish(Rang(n=2), id=id)
    except Exception:  # the server is not back yet
        return None


async def test_origins_forget_what_is_too_much(store, monkeypatch):
    monkeypatch.setattr("hybrid.inspect.happenings.REMEMBERED", 3)
    origins = Origins(store.shards[0])
    origins._classes = {str(n): "hard" for n in range(9)}
    assert REMEMBERED > 9
    await origins.told([])
    assert list(origins._classes) == ["6", "7", "8"]
