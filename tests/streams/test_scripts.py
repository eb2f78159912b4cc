"""The other scripts: taking over, what is due, groups, retention, the ledger; and how scripts are called."""

import asyncio

import pytest

from hybrid.broker.shard import Store
from hybrid.errors import ServerError, ServerUnavailable
from hybrid.streams.connection import Connections
from hybrid.streams.reads import GroupReader
from hybrid.streams.scripts import Scripts, Send
from hybrid.streams.transitions import Transition, ack, add, schedule


class TestTakeover:
    @pytest.fixture
    def take_over(self, bench):
        def run(dead, me, most=10):
            lease = bench.keys.lease(dead)
            return bench.shard.scripts.takeover(bench.queue, lease, "hybrid", dead, me, most)

        return run

    def consumers(self, bench):
        return {row["name"]: row["pending"] for row in bench.raw.xinfo_consumers(bench.queue, "hybrid")}

    async def test_it_refuses_while_there_is_a_lease(self, bench, take_over):
        bench.fill(bench.queue, 2)
        bench.read(bench.queue, "hybrid", "c")
        bench.raw.set(bench.keys.lease("c"), "1", px=60_000)
        assert await take_over("c", "heir") is None
        assert self.consumers(bench) == {b"c": 2}
        bench.raw.delete(bench.keys.lease("c"))
        assert len(await take_over("c", "heir")) == 2

    async def test_it_claims_in_parts_and_deletes_when_nothing_is_left(self, bench, take_over):
        entries = bench.fill(bench.queue, 5, data=b"\xff\0")
        bench.read(bench.queue, "hybrid", "dead")
        first = await take_over("dead", "heir", most=3)
        assert first == [
            (entry, {b"id": b"i%d" % n, b"data": b"\xff\0"}) for n, entry in enumerate(entries[:3])
        ]
        assert self.consumers(bench) == {b"dead": 2, b"heir": 3}
        assert len(await take_over("dead", "heir", most=3)) == 2
        assert await take_over("dead", "heir") == []
        assert self.consumers(bench) == {b"heir": 5}

    async def test_a_dead_reader_that_is_given_more_is_found_again(self, bench, take_over):
        bench.read(bench.queue, "hybrid", "dead")
        assert await take_over("dead", "heir") == []
        bench.fill(bench.queue, 1)
        bench.read(bench.queue, "hybrid", "dead")
        assert len(await take_over("dead", "heir")) == 1

    async def test_entries_that_are_gone_are_left_out(self, bench, take_over):
        entries = bench.fill(bench.queue, 2)
        bench.read(bench.queue, "hybrid", "dead")
        bench.raw.xdel(bench.queue, entries[0])
        assert [entry for entry, _ in await take_over("dead", "heir")] == entries[1:]
        assert await take_over("dead", "heir") == []
        assert self.consumers(bench) == {b"heir": 1}


class TestDue:
    async def test_what_is_due_of_each_and_not_taken(self, bench):
        one, two, none = map(bench.keys.later, "abc")
        bench.raw.zadd(one, {"past": 1, "pres\xff": 2, "third": 3, "future": 10**14})
        bench.raw.zadd(two, {"future": 10**14})
        for _ in range(2):
            following, _, due = await bench.shard.scripts.due(bench.keys.counters, [one, two, none], 2)
            assert due == [[b"past", "pres\xff".encode()], [], []]
            assert following > 10**13

    async def test_when_the_next_is_due(self, bench):
        one, two = map(bench.keys.later, "ab")
        assert await bench.shard.scripts.due(bench.keys.counters, [one, two], 9) == (-1, 0, [[], []])
        now = int(bench.raw.time()[0]) * 1000
        bench.raw.zadd(one, {"past": 1, "far": now + 90_000})
        bench.raw.zadd(two, {"next": now + 60_000})
        following, _, due = await bench.shard.scripts.due(bench.keys.counters, [one, two], 9)
        assert due == [[b"past"], []]
        assert 50_000 < following <= 60_000


class TestSkip:
    @pytest.fixture
    async def skipping(self, fresh, settings):
        """A shard of a store for tests."""
        store = Store(fresh, settings, settings.redis_url or "")
        await store.open(test=True)
        yield store.shards[0]
        await store.close()

    async def test_what_is_due_comes_by_that(self, skipping, raw):
        keys, scripts, queries = skipping.keys, skipping.scripts, skipping.queries
        now = await queries.now()
        assert abs(now - await queries.server_time()) < 1_000
        raw.zadd(keys.timers, {"tomorrow": now + 86_400_000})
        assert await scripts.skip(keys.store, keys.counters, 86_400_000)
        assert (await scripts.due(keys.counters, [keys.timers], 9)) == (-1, 86_400_000, [[b"tomorrow"]])
        assert await scripts.skip(keys.store, keys.counters, 1_000)
        assert 86_401_000 <= await queries.now() - now < 86_411_000
        assert await queries.server_time() - now < 10_000

    async def test_what_is_scheduled_goes_by_that(self, skipping, raw):
        keys = skipping.keys
        await skipping.scripts.skip(keys.store, keys.counters, 86_400_000)
        now = await skipping.queries.now()
        effects = [schedule(keys.timers, 5_000, b"a"), schedule(keys.timers, 5_000, b"b")]
        assert await skipping.scripts.settle(keys.counters, [Transition((), (), effects)]) == [1]
        stream = keys.event("front")
        send = Send.of("id", stream, "entered:event:front", ["id", "id"], ("after", 5_000))
        names = [keys.counters, keys.seen_new, keys.seen_old, keys.scheduled]
        assert await skipping.scripts.send(names, (1_000, 100), [send]) == [1]
        for zset, number in ((keys.timers, 2), (keys.scheduled, 1)):
            scores = [score for _, score in raw.zrange(zset, 0, -1, withscores=True)]
            assert len(scores) == number
            assert all(now + 5_000 <= score < now + 15_000 for score in scores)

    async def test_a_store_that_is_none_for_tests_refuses(self, bench):
        keys = bench.keys
        assert not await bench.shard.scripts.skip(keys.store, keys.counters, 1_000)
        assert not bench.raw.exists(keys.counters)

    async def test_one_that_is_there_does_not_become_one_for_tests(self, store):
        await store.open(test=True)
        keys = store.shards[0].keys
        assert not await store.shards[0].scripts.skip(keys.store, keys.counters, 1_000)


class TestRegister:
    async def test_new_then_there(self, bench):
        bench.fill(bench.topic, 3)
        assert [await bench.register("g") for _ in range(3)] == [1, 0, 0]
        assert len(bench.read(bench.topic, "g", "c")) == 3
        assert bench.raw.hget(bench.keys.groups, "mark:topic:t|g") == b"0"

    async def test_from_now_on(self, bench):
        await bench.settle(Transition(effects=[add(bench.topic, "entered:topic:t", ["id", "x"])] * 3))
        assert await bench.register("g", "$") == 1
        assert bench.read(bench.topic, "g", "c") == []
        assert bench.raw.hget(bench.keys.groups, "base:topic:t|g") == b"3"
        (last, _), *_ = bench.raw.xrevrange(bench.topic)
        assert bench.raw.hget(bench.keys.groups, "mark:topic:t|g") == last

    async def test_from_the_middle(self, bench):
        await bench.settle(Transition(effects=[add(bench.topic, "entered:topic:t", ["id", "x"])] * 3))
        (first, _), *_ = bench.raw.xrange(bench.topic)
        assert await bench.register("g", first.decode()) == 1
        assert len(bench.read(bench.topic, "g", "c")) == 2
        assert bench.raw.hget(bench.keys.groups, "base:topic:t|g") == b"1"

    async def test_a_lost_group_is_made_again_at_its_mark(self, bench):
        entries = bench.fill(bench.topic, 4)
        await bench.register("g")
        bench.read(bench.topic, "g", "c", 3)
        await bench.settle(Transition((), [ack(bench.topic, "g", entries[0], False)]))
        await bench.retain("g")
        bench.raw.xgroup_destroy(bench.topic, "g")
        assert [await bench.register("g", "$") for _ in range(2)] == [2, 0]
        assert bench.read(bench.topic, "g", "c") == entries[1:]

    async def test_a_lost_topic(self, bench):
        bench.fill(bench.topic, 2)
        await bench.register("g")
        bench.raw.delete(bench.topic)
        assert await bench.register("g") == 2
        assert bench.raw.xinfo_groups(bench.topic)[0]["name"] == b"g"

    async def test_a_group_that_somebody_else_made_is_registered(self, bench):
        bench.fill(bench.topic, 2)
        bench.raw.xgroup_create(bench.topic, "g", "0")
        assert [await bench.register("g") for _ in range(2)] == [1, 0]


class TestRetain:
    async def test_no_topic(self, bench):
        assert await bench.retain("g") == (0, 0)

    async def test_by_count_when_all_have_settled(self, bench):
        entries = bench.fill(bench.topic, 10)
        for group in ("a", "b"):
            await bench.register(group)
            bench.raw.xack(bench.topic, group, *bench.read(bench.topic, group, "c"))
        assert await bench.retain("a", "b", most=4) == (6, 0)
        assert [entry for entry, _ in bench.raw.xrange(bench.topic)] == entries[6:]
        assert bench.raw.hget(bench.keys.groups, "mark:topic:t|a") == entries[-1]

    @pytest.mark.parametrize(
        ("read", "settled", "kept"), [(0, [], 10), (5, [0, 1], 8), (5, [0, 2], 9), (10, range(10), 1)]
    )
    async def test_never_past_what_a_group_has_not_settled(self, bench, read, settled, kept):
        entries = bench.fill(bench.topic, 10)
        for group in ("ready", "slow"):
            await bench.register(group)
        bench.raw.xack(bench.topic, "ready", *bench.read(bench.topic, "ready", "c"))
        if read:
            bench.read(bench.topic, "slow", "c", read)
        for place in settled:
            bench.raw.xack(bench.topic, "slow", entries[place])
        assert await bench.retain("ready", "slow", most=1) == (10 - kept, 0)
        assert bench.raw.xlen(bench.topic) == kept

    async def test_nothing_while_a_registered_group_is_missing(self, bench):
        bench.fill(bench.topic, 10)
        await bench.register("a")
        bench.raw.xack(bench.topic, "a", *bench.read(bench.topic, "a", "c"))
        assert await bench.retain("a", "missing", most=1) == (-1, 0)
        assert bench.raw.xlen(bench.topic) == 10

    async def test_without_groups(self, bench):
        bench.fill(bench.topic, 10)
        assert await bench.retain(most=3) == (7, 0)

    async def test_by_age(self, bench):
        for ms in (1000, 2000, 3000):
            bench.raw.xadd(bench.topic, {"id": "x"}, id=f"{ms}-1")
        bench.fill(bench.topic, 2)
        assert await bench.retain(age=60_000) == (3, 0)

    async def test_by_bytes(self, bench):
        bench.fill(bench.topic, 400, data=b"x" * 1000)
        used = bench.raw.memory_usage(bench.topic)
        removed, _ = await bench.retain(size=used // 2)
        assert 150 < removed < 250
        assert await bench.retain(size=1) == (400 - removed - 1, 0)  # the last one stays

    async def test_at_most_a_thousand_a_call(self, bench):
        for n in range(1, 2501):
            bench.raw.xadd(bench.topic, {"id": "x"}, id=f"{n}-0")
        assert [await bench.retain(age=1000) for _ in range(3)] == [(1000, 0), (1000, 0), (500, 0)]
        bench.fill(bench.topic, 2500)
        assert [await bench.retain(most=1) for _ in range(4)] == [(1000, 0), (1000, 0), (499, 0), (0, 0)]

    async def test_beyond_the_hard_limit_it_is_cut_and_counted(self, bench):
        entries = bench.fill(bench.topic, 10)
        for group in ("pending", "behind", "ready"):
            await bench.register(group)
        bench.read(bench.topic, "pending", "c", 8)
        bench.raw.xack(bench.topic, "pending", entries[0], entries[7])
        bench.raw.xack(bench.topic, "ready", *bench.read(bench.topic, "ready", "c"))
        assert await bench.retain("pending", "behind", "ready", most=2, hard=4) == (6, 5 + 6)
        assert [entry for entry, _ in bench.raw.xrange(bench.topic)] == entries[6:]
        assert [bench.counter(f"cut:{group}") for group in ("pending", "behind", "ready")] == [5, 6, 0]
        assert bench.read(bench.topic, "behind", "c") == entries[6:]
        assert [
            row["message_id"] for row in bench.raw.xpending_range(bench.topic, "pending", "-", "+", 9)
        ] == [entries[6]]
        assert bench.read(bench.topic, "pending", "c") == entries[8:]

    async def test_a_group_lost_after_a_cut_begins_at_what_is_left(self, bench):
        bench.fill(bench.topic, 10)
        await bench.register("g")
        await bench.retain("g", hard=4)
        bench.raw.xgroup_destroy(bench.topic, "g")
        assert await bench.register("g") == 2
        assert len(bench.read(bench.topic, "g", "c")) == 4


class TestForget:
    async def test_ended_ones_only(self, bench):
        keys = bench.keys
        entries = bench.fill(keys.outcomes, 3)
        for id, ended in (("a", {"ended": "1"}), ("b", {})):
            bench.raw.hset(keys.flow(id), mapping={"run": 1, **ended})
            bench.raw.rpush(keys.history(id), "x")
        flows = [
            (entry, b"1", keys.flow(id), keys.history(id)) for entry, id in zip(entries, "abc", strict=True)
        ]
        assert await bench.shard.scripts.forget(keys.outcomes, flows) == 1
        assert await bench.shard.scripts.forget(keys.outcomes, flows) == 0
        assert not bench.raw.exists(keys.flow("a"), keys.history("a"))
        assert bench.raw.exists(keys.flow("b"), keys.history("b")) == 2
        assert bench.raw.xlen(keys.outcomes) == 0

    async def test_none(self, bench):
        assert await bench.shard.scripts.forget(bench.keys.outcomes, []) == 0


class TestStore:
    async def test_the_first_decides(self, bench):
        key = bench.keys.store + ":2"
        assert await bench.shard.scripts.store(key, 1, 4, "me") == (1, 4, "me")
        assert await bench.shard.scripts.store(key, 2, 8, "you") == (1, 4, "me")
        bench.raw.delete(key)


class TestLedger:
    async def look(self, bench, name, queues=(), topics=()):
        keys = bench.keys
        places = [keys.counters, keys.groups, *keys.places(name), *queues, *topics]
        layout = [[name, len(queues), len(topics), [keys.channel(key) for key in (*queues, *topics)]]]
        ((_, *numbers, channels),) = await bench.shard.scripts.ledger(places, "hybrid", layout)
        return numbers, [channel[1:] for channel in channels]

    async def test_nothing(self, bench):
        absent = bench.keys.command("absent")
        expected = [[0, 0, 0, "", 0]] * 2
        assert await self.look(bench, "q", [absent], [bench.topic]) == ([0] * 8, expected)

    async def test_a_queue(self, bench):
        entries = bench.fill(bench.queue, 5)
        bench.raw.hset(
            bench.keys.counters,
            mapping={"entered:own:q": 9, "settled:q": 1, "expired:q": 1, "discarded:q": 1, "cut:q": 1},
        )
        bench.read(bench.queue, "hybrid", "c", 2)
        bench.raw.zadd(bench.keys.later("q"), {"x": 1})
        bench.fill(bench.keys.failed("q"), 2)
        bench.raw.zadd(bench.keys.held("q"), {"x": 0, "y": 0, "z": 0})
        bench.fill(bench.keys.archived("q"), 4)
        numbers, channels = await self.look(bench, "q", [bench.queue])
        assert numbers == [1, 2, 4, 3, 1, 1, 1, 1]
        assert channels == [[9, 3, 2, entries[0].decode(), 1]]

    async def entered(self, bench, many):
        await bench.settle(Transition(effects=[add(bench.topic, "entered:topic:t", ["id", "x"])] * many))
        return [entry for entry, _ in bench.raw.xrange(bench.topic)]

    async def check(self, bench, group, waiting, pending, oldest, entered=None):
        _, ((found, *rest, _),) = await self.look(bench, group, [], [bench.topic])
        assert rest == [waiting, pending, oldest.decode() if oldest else ""]
        assert found == (waiting + pending + bench.counter("by hand") if entered is None else entered)

    @pytest.mark.parametrize("start", ["0", "$", "middle"])
    async def test_a_topic_through_a_life(self, bench, start):
        old = await self.entered(bench, 4)
        await bench.register("g", old[1].decode() if start == "middle" else start)
        mine = {"0": old, "$": [], "middle": old[2:]}[start]
        await self.check(bench, "g", len(mine), 0, mine[0] if mine else None)
        mine += (await self.entered(bench, 6))[4:]
        await self.check(bench, "g", len(mine), 0, mine[0])
        read = bench.read(bench.topic, "g", "c", 3)
        await self.check(bench, "g", len(mine) - 3, 3, mine[0])
        bench.raw.xack(bench.topic, "g", read[0], read[2])
        await self.check(bench, "g", len(mine) - 3, 1, mine[1], len(mine))
        bench.raw.xack(bench.topic, "g", read[1])
        await bench.retain("g", most=1)
        await self.check(bench, "g", len(mine) - 3, 0, mine[3], len(mine))
        mine += (await self.entered(bench, 2))[-2:]
        await self.check(bench, "g", len(mine) - 3, 0, mine[3], len(mine))
        bench.read(bench.topic, "g", "c")
        await self.check(bench, "g", 0, len(mine) - 3, mine[3], len(mine))

    @pytest.mark.parametrize("read", [0, 2, 5, 8, 10])
    async def test_a_cut_is_in_the_balance(self, bench, read):
        entries = await self.entered(bench, 10)
        await bench.register("g")
        if read:
            bench.read(bench.topic, "g", "c", read)
        await bench.retain("g", hard=4)
        numbers, ((entered, waiting, pending, oldest, _),) = await self.look(bench, "g", [], [bench.topic])
        assert numbers[-1] == 6  # cut
        assert (entered, oldest) == (10, entries[6].decode())
        assert entered - 6 == waiting + pending
        assert pending == max(0, read - 6)


class TestKinds:
    def put(self, bench, kind, **fields):
        return bench.raw.xadd(
            bench.keys.failed("q"), {"kind": kind, **fields} if kind else {"x": "y"}
        ).decode()

    async def test_nothing(self, bench):
        assert await bench.shard.scripts.kinds(bench.keys.failed("q"), "-", "+", 10, 0) == ("", [])

    async def test_a_page_by_kind(self, bench):
        stream, kinds = bench.keys.failed("q"), bench.shard.scripts.kinds
        entries = [self.put(bench, kind) for kind in ("a", "b\0\xff", "a", "")]
        last, rows = await kinds(stream, "-", "+", 3, 0)
        assert last == entries[2]
        assert [(row.kind, row.number) for row in rows] == [(b"a", 2), ("b\0\xff".encode(), 1)]
        assert rows[0][2:] == tuple(int(entries[n].partition("-")[0]) for n in (0, 2))
        last, rows = await kinds(stream, f"({last}", "+", 3, 0)
        assert (last, [row[:2] for row in rows]) == ("", [(b"", 1)])

    async def test_when_it_failed_and_not_when_it_came_back(self, bench):
        self.put(bench, "a", failed="1000")
        self.put(bench, "a", failed="2000")
        stream, kinds = bench.keys.failed("q"), bench.shard.scripts.kinds
        assert await kinds(stream, "-", "+", 10, 0) == ("", [(b"a", 2, 1000, 2000)])
        assert await kinds(stream, "-", "+", 10, 1500) == ("", [(b"a", 1, 2000, 2000)])


class TestCalls:
    async def test_a_server_that_has_forgotten_the_scripts(self, bench):
        adding = Transition(effects=[add(bench.topic, "", ["id", "x"])])
        assert await bench.settle(adding) == [1]
        bench.raw.script_flush()
        assert await bench.settle(adding) == [1]
        assert bench.raw.xlen(bench.topic) == 2

    async def test_the_ledgers_reply_survives_binary_names(self, bench):
        odd = "ü" * 10
        keys = [bench.keys.counters, bench.keys.groups, *bench.keys.places(odd)]
        ((name, *_),) = await bench.shard.scripts.ledger(keys, "hybrid", [[odd, 0, 0, []]])
        assert name == odd

    async def test_no_server(self, tmp_path):
        url = f"unix://{tmp_path}/nobody"
        client = Connections(url).commands()
        with pytest.raises(ServerUnavailable, match="no connection to Redis at unix"):
            await Scripts(client, url).due("x", ["y"], 1)
        await client.aclose()

    async def test_a_connection_that_the_server_cuts(self, bench):
        client = Connections(bench.shard.connections.url).commands()
        scripts = Scripts(client, "test")
        number = await client.raw("CLIENT", "ID")
        bench.raw.client_kill_filter(_id=number)
        try:
            await scripts.due(bench.keys.counters, [bench.keys.timers], 1)
        except ServerUnavailable:
            assert await scripts.due(bench.keys.counters, [bench.keys.timers], 1) == (-1, 0, [[]])
        await client.aclose()

    async def test_an_answer_that_is_an_error(self, bench):
        bench.raw.set(bench.keys.timers, "foreign")
        with pytest.raises(ServerError, match="answered"):
            await bench.shard.scripts.due(bench.keys.counters, [bench.keys.timers], 1)
        bench.raw.delete(bench.keys.timers)


class TestReader:
    @pytest.fixture
    async def reader(self, bench):
        reader = GroupReader(bench.shard.connections, "hybrid", "me", 5000)
        yield reader
        await reader.close()

    async def test_new_entries(self, bench, reader):
        entries = bench.fill(bench.queue, 3, data=b"\xff")
        ((stream, found),) = await reader.wait([bench.queue], 2)
        assert stream == bench.queue
        assert found == [
            (entry, {b"id": b"i%d" % n, b"data": b"\xff"}) for n, entry in enumerate(entries[:2])
        ]
        ((_, rest),) = await reader.take({bench.queue: 5}, 9)
        assert [entry for entry, _ in rest] == entries[2:]
        assert await reader.take({bench.queue: 5}, 9) == []

    async def test_rooms(self, bench, reader):
        other = bench.keys.own("r")
        bench.raw.xgroup_create(other, "hybrid", id="0", mkstream=True)
        bench.fill(bench.queue, 3)
        bench.fill(other, 3)
        read = await reader.take({bench.queue: 1, other: 2}, 9)
        assert [(stream, len(entries)) for stream, entries in read] == [(bench.queue, 1), (other, 2)]

    async def test_what_comes_first_goes_first(self, bench, reader):
        other = bench.keys.own("r")
        bench.raw.xgroup_create(other, "hybrid", id="0", mkstream=True)
        bench.fill(bench.queue, 3)
        bench.fill(other, 3)
        read = await reader.take({other: 5, bench.queue: 5}, 4)
        assert [(stream, len(entries)) for stream, entries in read] == [(other, 3), (bench.queue, 1)]
        read = await reader.take({other: 5, bench.queue: 5}, 4)
        assert [(stream, len(entries)) for stream, entries in read] == [(bench.queue, 2)]

    async def test_own_pending(self, bench, reader):
        entries = bench.fill(bench.queue, 4)
        await reader.wait([bench.queue], 10)
        bench.raw.xack(bench.queue, "hybrid", entries[1])
        bench.raw.xdel(bench.queue, entries[2])
        assert await reader.own_pending(bench.queue, b"0", 10) == [
            (entries[0], {b"id": b"i0"}),
            (entries[2], {}),
            (entries[3], {b"id": b"i3"}),
        ]
        assert [entry for entry, _ in await reader.own_pending(bench.queue, entries[0], 1)] == [entries[2]]
        assert await reader.own_pending(bench.queue, entries[3], 10) == []

    async def test_unblock(self, bench, reader):
        began = asyncio.get_running_loop().time()
        for _ in range(5):
            waiting = asyncio.create_task(reader.wait([bench.queue], 1))
            await asyncio.sleep(0)
            await reader.unblock()
            assert await waiting == []
        assert asyncio.get_running_loop().time() - began < 2
        await reader.unblock()  # nobody waits

    async def test_what_was_read_by_a_lost_connection_is_pending(self, bench, reader):
        waiting = asyncio.create_task(reader.wait([bench.queue], 1))
        ours = ""
        while not ours:  # a reader of an earlier test may still be blocked: ours is the one that we know
            await asyncio.sleep(0.005)
            blocked = [c["id"] for c in bench.raw.client_list() if "b" in c["flags"]]
            ours = next((id for id in blocked if int(id) == reader._client.id), "")
        bench.raw.client_kill_filter(_id=ours)
        with pytest.raises(ServerUnavailable):
            await waiting
        await reader.reconnect()
        (entry,) = bench.fill(bench.queue, 1)
        ((_, found),) = await reader.wait([bench.queue], 1)
        assert [id for id, _ in found] == [entry]
        assert [id for id, _ in await reader.own_pending(bench.queue, b"0", 9)] == [entry]

    async def test_a_missing_group_is_an_error(self, bench, reader):
        with pytest.raises(ServerError, match="NOGROUP"):
            await reader.wait([bench.queue, bench.keys.own("nobody")], 1)
        with pytest.raises(ServerError, match="NOGROUP"):
            await reader.take({bench.keys.own("nobody"): 1}, 1)


class TestConsumers:
    async def test_who_reads(self, bench):
        bench.fill(bench.queue, 2)
        bench.read(bench.queue, "hybrid", "c", 1)
        queries = bench.shard.queries
        assert await queries.consumers(bench.queue, "hybrid") == [("c", 1)]
        assert await queries.consumers(bench.queue, "nobody") == []
        assert await queries.consumers(bench.keys.own("nobody"), "hybrid") == []

    async def test_queues_are_made_once(self, bench):
        other = bench.keys.own("r")
        for _ in range(2):
            await bench.shard.writes.ensure_queues([bench.queue, other], "hybrid")
        bench.fill(other, 1)
        assert len(bench.read(other, "hybrid", "c")) == 1
