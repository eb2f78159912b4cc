"""The store: made once, the same for all, and keys that always hash to the same shard."""

import asyncio

import pytest

from hybrid.broker.shard import FORMAT, Store
from hybrid.errors import StoreMismatch
from hybrid.settings import Settings


def another(store, **changes):
    settings = Settings.load(**{**store.settings.model_dump(), **changes})
    return Store(store.shards[0].keys.prefix[1:].partition(".")[0], settings, store.url)


async def opened(store):
    try:
        await store.open()
    finally:
        await store.close()
    return store.id


async def test_the_id_is_made_once(store):
    assert store.id
    others = [another(store) for _ in range(5)]
    assert set(await asyncio.gather(*map(opened, others))) == {store.id}


async def test_another_domain_is_another_store(store):
    assert await opened(another(store, domain="other")) != store.id


async def test_another_number_of_shards_is_refused(store):
    with pytest.raises(StoreMismatch, match=r"1 shard\(s\).*HYBRID_SHARDS=1"):
        await opened(another(store, shards=4))
    four = another(store, domain="four", shards=4)
    await opened(four)
    for shards in (1, 2, 8):
        with pytest.raises(StoreMismatch, match="HYBRID_SHARDS=4"):
            await opened(another(store, domain="four", shards=shards))


async def test_another_format_is_refused(store, raw):
    raw.hset(store.shards[0].keys.store, "format", FORMAT + 1)
    with pytest.raises(StoreMismatch, match=f"format {FORMAT + 1}"):
        await opened(another(store))


def test_keys_hash_alike_for_ever():
    store = Store("app", Settings.load(shards=16), "redis://nowhere")
    assert [store.shard_of(key).number for key in ("", "a", "order-1", "ü", "x" * 1000)] == [0, 3, 15, 5, 6]


def test_keys_spread():
    store = Store("app", Settings.load(shards=16), "redis://nowhere")
    hits = [store.shard_of(f"order-{n}").number for n in range(16_000)]
    assert min(hits.count(n) for n in range(16)) > 800
