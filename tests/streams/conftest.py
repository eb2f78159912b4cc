"""A shard to call scripts on, and small words for what tests put there."""

from types import SimpleNamespace

import pytest

from hybrid.streams.transitions import Transition, ack, add


@pytest.fixture
def shard(store):
    return store.shards[0]


@pytest.fixture
def bench(shard, raw):
    """The shard with a queue `own:q` and a topic `topic:t` on it, and ways to fill and read them."""
    keys = shard.keys
    queue, topic = keys.own("q"), keys.topic("t")
    raw.xgroup_create(queue, "hybrid", id="0", mkstream=True)

    def read(stream, group, consumer, most=100):
        reply = raw.xreadgroup(group, consumer, {stream: ">"}, count=most)
        return [entry for _, entries in reply for entry, _ in entries]

    def fill(stream, many, **fields):
        return [raw.xadd(stream, {"id": f"i{n}", **fields}) for n in range(many)]

    async def settle(*transitions):
        return await shard.scripts.settle(keys.counters, transitions)

    async def register(group, start="0"):
        return await shard.scripts.register([topic, keys.groups, keys.counters], group, "topic:t", start)

    async def retain(*groups, most=10**6, size=1 << 40, age=10**12, hard=10**6):
        places = [topic, keys.groups, keys.counters]
        for group in groups:
            places += [keys.gate(group), keys.held(group), keys.own(group)]
        return await shard.scripts.retain(places, "topic:t", (most, size, age, hard), [*groups])

    def adding():
        return Transition(effects=[add(topic, "entered:topic:t", ["id", "x"])])

    def settling(entry):
        return adding()._replace(claims=[ack(queue, "hybrid", entry, True, "settled:q")])

    def counter(field):
        return int(raw.hget(keys.counters, field) or 0)

    return SimpleNamespace(**{name: value for name, value in locals().items() if name != "store"})
