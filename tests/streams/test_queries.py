"""Plain reads, small writes, and how addresses and errors are told."""

import asyncio
import threading

import pytest
import redis

from hybrid.errors import ServerError, ServerUnavailable
from hybrid.streams.connection import Connections, plain_errors, url_shown
from hybrid.streams.leases import LeaseClient


class TestQueries:
    async def test_hashes(self, bench):
        keys = [bench.keys.flow(id) for id in "abc"]
        bench.raw.hset(keys[0], mapping={"x": b"\xff"})
        bench.raw.hset(keys[2], mapping={"y": "1"})
        assert await bench.shard.queries.hashes(keys) == [{b"x": b"\xff"}, {}, {b"y": b"1"}]
        assert await bench.shard.queries.hash(keys[2]) == {b"y": b"1"}
        assert await bench.shard.queries.hashes([]) == []

    async def test_streams(self, bench):
        entries = bench.fill(bench.topic, 5)
        queries = bench.shard.queries
        assert [entry for entry, _ in await queries.range(bench.topic)] == entries
        assert await queries.range(bench.topic, f"({entries[3].decode()}") == [(entries[4], {b"id": b"i4"})]
        assert [entry for entry, _ in await queries.newest(bench.topic, most=2)] == entries[:2:-1]
        assert await queries.range(bench.keys.topic("none")) == []
        assert await queries.lengths([bench.topic, bench.keys.topic("none")]) == [5, 0]

    async def test_sorted_sets(self, bench):
        bench.raw.zadd(bench.keys.flows, {"old": 1, "new": 1_700_000_000_000})
        queries = bench.shard.queries
        assert await queries.scored(bench.keys.flows, 9) == [("old", 1), ("new", 1_700_000_000_000)]
        assert await queries.scored(bench.keys.flows, 1, newest=True) == [("new", 1_700_000_000_000)]
        assert await queries.members(bench.keys.flows, 1) == [b"old"]
        assert await queries.dated(bench.keys.flows, 1, 9) == [(b"new", 1_700_000_000_000)]
        assert await queries.beginning(bench.keys.flows, "n*") == [b"new"]
        assert await queries.size(bench.keys.flows) == 2
        assert await queries.exist([bench.keys.flows, bench.keys.timers]) == [True, False]

    async def test_lists(self, bench):
        bench.raw.rpush(bench.keys.history("f"), "a", "b")
        assert await bench.shard.queries.whole_list(bench.keys.history("f")) == [b"a", b"b"]

    async def test_follow(self, bench):
        queries = bench.shard.queries
        assert await queries.follow({bench.topic: "$"}, 10) == {}
        following = asyncio.create_task(queries.follow({bench.topic: "0", bench.keys.log: "0"}, 5000))
        (entry,) = bench.fill(bench.topic, 1)
        assert await following == {bench.topic: [(entry, {b"id": b"i0"})]}

    async def test_the_server(self, bench):
        assert (await bench.shard.queries.info())["redis_version"]
        assert await bench.shard.queries.config("appendonly")


class TestFullServer:
    """What must go on when the server takes nothing more."""

    @pytest.fixture
    def full(self, bench):
        bench.raw.config_set("maxmemory", 1)
        yield
        bench.raw.config_set("maxmemory", 0)

    async def test_settling_what_was_delivered(self, bench):
        entries = bench.fill(bench.queue, 2)
        bench.read(bench.queue, "hybrid", "c")
        bench.raw.config_set("maxmemory", 1)
        try:
            out = [bench.settling(entry) for entry in entries]
            assert await bench.settle(*out) == [1, 1]
            assert bench.raw.xlen(bench.topic) == 2
        finally:
            bench.raw.config_set("maxmemory", 0)

    async def test_reading_taking_over_and_leases(self, bench, full):
        writes = bench.shard.writes
        await writes.enrol(bench.keys.consumers, "c", b"facts")
        assert await writes.count_start(bench.keys.starts, "u", "c") == 1
        lease = LeaseClient(bench.shard.connections)
        try:
            assert lease.renew([bench.keys.lease("c")], 60_000) > 1.6e12
        finally:
            lease.close()

    async def test_nothing_new(self, bench, full):
        with pytest.raises(ServerUnavailable, match="takes nothing now"):
            await bench.settle(bench.adding())


class TestLeases:
    def test_renewed_for_so_long(self, bench):
        client = LeaseClient(bench.shard.connections)
        keys = [bench.keys.lease("a"), bench.keys.lease("b")]
        renewing = threading.Thread(target=client.renew, args=(keys, 60_000))
        renewing.start()
        renewing.join()
        client.close()
        assert all(59_000 < bench.raw.pttl(key) <= 60_000 for key in keys)


ANSWERS = [
    ("OOM command not allowed when used memory > 'maxmemory'.", ServerUnavailable),
    ("CLUSTERDOWN The cluster is down", ServerUnavailable),
    ("MASTERDOWN Link with MASTER is down", ServerUnavailable),
    ("TRYAGAIN Multiple keys request during rehashing of slot", ServerUnavailable),
    ("LOADING Redis is loading the dataset in memory", ServerUnavailable),
    ("READONLY You can't write against a read only replica.", ServerUnavailable),
    ("MISCONF Redis is configured to save RDB snapshots", ServerUnavailable),
    ("NOREPLICAS Not enough good replicas to write.", ServerUnavailable),
    ("BUSY Redis is busy running a script.", ServerUnavailable),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", ServerError),
    ("NOPERM this user has no permissions", ServerError),
    ("ERR unknown command", ServerError),
    ("BUSYGROUP Consumer Group name already exists", ServerError),
]


@pytest.mark.parametrize(("answer", "error"), ANSWERS, ids=lambda value: str(value).partition(" ")[0])
def test_answers_that_mean_wait(answer, error):
    with pytest.raises(ServerError) as caught, plain_errors("redis://h"):
        raise redis._parsers.base.BaseParser.parse_error(answer)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "error", [redis.ConnectionError("x"), redis.TimeoutError("x"), OSError(2, "x"), ConnectionResetError()]
)
def test_errors_that_mean_gone(error):
    with (
        pytest.raises(ServerUnavailable, match=r"no connection to Redis at redis://h: ."),
        plain_errors("redis://h"),
    ):
        raise error


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), plain_errors("redis://h"):
        _ = 1 / 0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://:geheim@h:1/0", "redis://:***@h:1/0"),
        ("rediss://user:gehe@im@h", "rediss://user:***@h"),
        ("redis+sentinel://u:geheim@a:1,b:2/m", "redis+sentinel://u:***@a:1,b:2/m"),
        ("unix:///a.sock?db=1&password=geheim", "unix:///a.sock?db=1&password=***"),
        ("redis://h?password=geheim&db=1", "redis://h?password=***&db=1"),
    ],
)
def test_addresses_are_shown_without_passwords(url, shown):
    assert url_shown(url) == shown


def test_sentinels_and_clusters_are_told_apart():
    assert Connections("redis+cluster://h:1").cluster
    assert not Connections("redis://h:1").cluster
