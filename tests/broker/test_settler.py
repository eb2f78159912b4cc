"""The settler: group commit, and what it does when the server can't or won't."""

import asyncio

import pytest

from hybrid.broker.settler import FAILED
from hybrid.errors import ServerError, ServerUnavailable
from hybrid.streams.transitions import Transition, ack, add, count, fire, version


def adding(keys, n=0):
    return Transition(effects=[add(keys.own("m"), "entered:own:m", ["id", f"i{n}", "data", b"x"])])


@pytest.fixture
def shard(store):
    return store.shards[0]


async def test_a_lone_one_does_not_wait_and_many_are_gathered(shard, monkeypatch):
    sizes = []
    real = shard.scripts.settle_packed

    async def noted(keys, batch):
        sizes.append(len(batch))
        return await real(keys, batch)

    monkeypatch.setattr(shard.scripts, "settle_packed", noted)
    codes = await asyncio.gather(*(shard.settler.settle(adding(shard.keys, n)) for n in range(1200)))
    assert codes == [1] * 1200
    assert len(sizes) == 7  # 1 at once, and 5 of 200 and 199, which were all there when it had ended
    assert await shard.queries.lengths([shard.keys.own("m")]) == [1200]


async def test_codes_come_to_those_who_asked(shard, raw):
    keys = shard.keys
    raw.hset(keys.flow("f"), "version", 3)
    raw.zadd(keys.timers, {"a": 1})
    seen = fire(keys.timers, b"a")
    transitions = [
        Transition(checks=[version(keys.flow("f"), 3)]),
        Transition(checks=[version(keys.flow("f"), 2)]),
        Transition(claims=[seen]),
        Transition(claims=[seen]),
    ]
    assert await asyncio.gather(*map(shard.settler.settle, transitions)) == [1, -1, 1, 0]
    await shard.settler.drain()


async def test_a_lost_reply_is_asked_for_again_and_settles_once(shard, raw, monkeypatch):
    keys = shard.keys
    await shard.writes.ensure_queues([keys.own("m")], "hybrid")
    entry = raw.xadd(keys.own("m"), {"id": "i"})
    raw.xreadgroup("hybrid", "c", {keys.own("m"): ">"})
    real = shard.scripts.settle_packed
    losses = iter([True, True, False])

    async def losing(*arguments):
        codes = await real(*arguments)
        if next(losses):
            raise ServerUnavailable("lost")
        return codes

    monkeypatch.setattr(shard.scripts, "settle_packed", losing)
    out = Transition(
        claims=[ack(keys.own("m"), "hybrid", entry, True, "settled:m")],
        effects=[add(keys.topic("t"), "entered:topic:t", ["id", "o"])],
    )
    assert await shard.settler.settle(out) == 0  # by itself, the first time
    assert raw.xlen(keys.topic("t")) == 1
    assert raw.hgetall(keys.counters) == {b"settled:m": b"1", b"entered:topic:t": b"1"}


async def test_only_the_bad_one_fails(shard, raw):
    keys = shard.keys
    raw.set(keys.topic("bad"), "a foreign key")
    bad = Transition(effects=[add(keys.topic("bad"), "", ["id", "x"])])
    codes = await asyncio.gather(
        *map(shard.settler.settle, [adding(keys, 0), bad, adding(keys, 1), bad, adding(keys, 2)])
    )
    assert [codes[1], codes[3]] == [FAILED, FAILED]
    assert {codes[0], codes[2], codes[4]} == {1}
    assert raw.hget(keys.counters, "entered:own:m") == str(raw.xlen(keys.own("m"))).encode()
    raw.delete(keys.topic("bad"))


async def test_one_that_cannot_be_packed_fails_alone(shard):
    unpackable = [
        Transition(effects=[add(shard.keys.own("m"), "", ["id", "\ud800"])]),
        Transition(effects=[add(shard.keys.own("m"), "", ["id", object()])]),
        Transition(effects=[count(shard.keys.counters, "n", 2**70)]),
    ]
    codes = await asyncio.gather(*map(shard.settler.settle, [*unpackable, adding(shard.keys)]))
    assert codes == [FAILED] * 3 + [1]


async def test_out_of_memory_is_waited_for(shard, raw):
    used = raw.info("memory")["used_memory"]
    try:
        raw.config_set("maxmemory", used // 2)
        settling = asyncio.create_task(shard.settler.settle(adding(shard.keys)))
        with pytest.raises(ServerUnavailable, match="takes nothing now"):
            await shard.scripts.settle(shard.keys.counters, [adding(shard.keys)])
        await asyncio.sleep(0.1)
        assert not settling.done()
    finally:
        raw.config_set("maxmemory", 0)
    assert await settling == 1
    assert raw.xlen(shard.keys.own("m")) == 1


async def test_drain_returns_at_once_when_idle_and_waits_when_not(shard):
    await shard.settler.drain()
    codes = []
    for n in range(700):
        shard.settler.put(adding(shard.keys, n), codes.append)
    await shard.settler.drain()
    assert codes == [1] * 700


async def test_drain_waits_for_a_lone_one_and_what_gathered_behind_it(shard):
    codes = []
    lone = asyncio.create_task(shard.settler.settle(adding(shard.keys)))
    await asyncio.sleep(0)
    shard.settler.put(adding(shard.keys), codes.append)
    await shard.settler.drain()
    assert codes == [1]
    assert await lone == 1


async def test_one_who_waits_is_cancelled(shard):
    first = asyncio.create_task(shard.settler.settle(adding(shard.keys)))
    second = asyncio.create_task(shard.settler.settle(adding(shard.keys)))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 1
    second = asyncio.create_task(shard.settler.settle(adding(shard.keys)))
    third = asyncio.create_task(shard.settler.settle(adding(shard.keys)))
    fourth = asyncio.create_task(shard.settler.settle(adding(shard.keys)))
    await asyncio.sleep(0)
    third.cancel()
    assert await fourth == await second == 1
    await shard.settler.drain()


async def test_a_callback_that_fails_takes_no_other_with_it(shard, caplog):
    codes, cancelled = [], asyncio.get_running_loop().create_future()
    cancelled.cancel()
    shard.settler.put(adding(shard.keys), cancelled.set_result)
    shard.settler.put(adding(shard.keys), codes.append)
    await shard.settler.drain()
    assert codes == [1]
    assert "what follows a settle failed" in caplog.text


async def test_the_error_is_ours(shard, raw):
    raw.set(shard.keys.own("m"), "foreign")
    with pytest.raises(ServerError, match=r"WRONGTYPE|wrong kind"):
        await shard.scripts.settle(shard.keys.counters, [adding(shard.keys)])
    raw.delete(shard.keys.own("m"))
