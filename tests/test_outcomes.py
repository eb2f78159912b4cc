"""Watching outcomes: without gap, bounded, and over a lost connection."""

import asyncio

import pytest

from hybrid import outcomes
from hybrid.errors import ServerUnavailable
from hybrid.outcomes import OutcomeWatch
from hybrid.streams.queries import Queries


@pytest.fixture
async def watch(store):
    """A watch that has begun."""
    watch = OutcomeWatch(store.shards[0], 200)
    yield watch
    await watch.close()


def end(raw, store, flow, state="completed"):
    raw.xadd(store.shards[0].keys.outcomes, {"flow": flow, "state": state})


async def test_those_who_expect_are_told(watch, store, raw):
    await watch.start()
    first, second, other = watch.expect("f1"), watch.expect("f1"), watch.expect("f2")
    end(raw, store, "f1", "refused")
    assert await asyncio.gather(first, second) == ["refused", "refused"]
    assert not other.done()
    end(raw, store, "f1", "completed")  # later, and nobody expects it
    end(raw, store, "f2")
    assert await other == "completed"
    watch.forget("f1", first)
    watch.forget("f1", second)
    watch.forget("f2", other)
    assert watch.state("f1") == "completed"
    assert watch.state("f3") is None


async def test_it_looks_back_when_it_begins(watch, store, raw):
    for n in range(5):
        end(raw, store, f"f{n}")
    await watch.start()
    assert [watch.state(f"f{n}") for n in range(6)] == ["completed"] * 5 + [None]


async def test_it_remembers_so_many_and_no_more(watch, store, raw, monkeypatch):
    monkeypatch.setattr(outcomes, "MOST", 3)
    await watch.start()
    for n in range(5):
        end(raw, store, f"f{n}")
    last = watch.expect("last")
    end(raw, store, "last")
    await last
    assert [watch.state(f"f{n}") for n in range(5)] == [None, None, None, "completed", "completed"]


async def test_it_goes_on_where_it_was_after_a_lost_connection(watch, store, raw, monkeypatch, caplog):
    real, failing = Queries.follow, []

    async def follow(self, streams, block_ms, most=1000):
        if failing:
            raise ServerUnavailable("away")
        return await real(self, streams, block_ms, most)

    monkeypatch.setattr(Queries, "follow", follow)
    await watch.start()
    future = watch.expect("f1")
    failing.append(True)
    raw.client_kill_filter(_type="normal", skipme=True)
    end(raw, store, "f1")
    failing.clear()
    assert await future == "completed"


async def test_one_that_has_not_begun_can_be_closed(store):
    await OutcomeWatch(store.shards[0], 200).close()
