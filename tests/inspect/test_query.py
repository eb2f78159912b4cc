"""Queries of flows: which they take, each once, however they stand in the store."""

from __future__ import annotations

import pytest

from hybrid import App
from hybrid.codec import encode
from hybrid.inspect import query
from hybrid.inspect.flows import summaries
from hybrid.inspect.query import Query, count, selected
from hybrid.mediator.record import SIGNAL, Issued
from tests.cli import shop

STARTED = 1_700_000_000_000


@pytest.fixture
def app(fresh, settings):
    """The small application under a name of its own."""
    return App(fresh, [shop.front, shop.boss, shop.worker, shop.listener], settings=settings)


@pytest.fixture
def put(app, store, raw):
    """Put flows on record: running ones, or such as ended in a state."""
    keys = store.shards[0].keys

    def make(id, *, at=STARTED, state="running", n=1, **more):
        facts = {
            "type": "go",
            "class": "hard",
            "mediator": "boss",
            "key": str(n),
            "version": "1",
            "state": state,
            "started": str(at),
            "event": encode(shop.Go(n=n, token="hush", note="x y"), 10_000),
            "step:1": Issued("work", 1, at).packed(),
            "result:1": "",
        }
        facts |= more | ({} if state == "running" else {"ended": str(at + 5)})
        raw.hset(keys.flow(id), mapping=facts)
        if state == "running":
            raw.zadd(keys.flows, {id: at})
        else:
            raw.xadd(keys.outcomes, {"flow": id, "state": state, "class": "hard"})

    return make


@pytest.fixture
def taken(app, store):
    """Return the ids of the flows that a query takes."""

    async def ids(**given):
        found = [record.id async for record in selected(store, app.topology, Query(**given))]
        assert await count(store, app.topology, Query(**given)) == len(found)
        return found

    return ids


async def test_each_filter(put, taken):
    put("a")
    put("b", at=STARTED + 10, n=2, **{"class": "complex", "mediator": "chief"})
    put("c", at=STARTED + 20, **{"type": "come", "stuck:1": "it is broken"})
    put("d", state="completed")
    assert await taken() == ["a", "b", "c"]
    assert await taken(ended=True) == ["a", "b", "c", "d"]
    assert await taken(state="completed") == ["d"]
    assert await taken(state="running") == ["a", "b"]
    assert await taken(state="failed") == ["c"]
    assert await taken(type="come") == ["c"]
    assert await taken(event_class="complex") == ["b"]
    assert await taken(mediator="boss") == ["a", "c"]
    assert await taken(key="2") == ["b"]
    assert await taken(before=STARTED + 10) == ["a"]
    assert await taken(before=STARTED) == []
    assert await taken(type="go", event_class="hard", key="2") == []


async def test_by_what_the_event_shows(put, taken):
    put("a", n=1)
    put("b", n=2)
    assert await taken(where=(("n", "2"),)) == ["b"]
    assert await taken(where=(("note", "x y"), ("amount", "null"))) == ["a", "b"]
    assert await taken(where=(("nope", "1"),)) == []
    assert await taken(where=(("token", "hush"),)) == []  # secrets are no way to look for somebody


async def test_by_the_step_at_which_they_are(put, taken):
    second = {"step:2": Issued("answer", 1, STARTED, 0, SIGNAL).packed()}
    put("first")
    put("both", **second, **{"result:2": ""})
    put("second", **second, **{"result:1": b"\x91\xa5reply", "result:2": ""})
    put("neither", **{"result:1": b"\x91\xa5reply"})
    put("over", state="completed")
    assert sorted(await taken(step="1")) == ["both", "first", "neither"]
    assert sorted(await taken(step="2")) == ["both", "second"]
    assert sorted(await taken(step="Work")) == ["both", "first", "neither"]
    assert await taken(step="signal answer") == await taken(step="answer")
    assert await taken(step="work", state="completed") == []


@pytest.mark.parametrize("spread", [1, 2, 3, 100])
async def test_pages_end_anywhere(put, taken, app, store, monkeypatch, spread):
    """Also within one millisecond, of which there may be more than a page holds."""
    monkeypatch.setattr(query, "PAGE", 3)
    monkeypatch.setattr(query, "ENDS", 4)
    for n in range(10):
        put(f"f{n}", at=STARTED + n // spread)
        put(f"e{n}", state="refused", at=STARTED + n)
    oldest = [f"f{n}" for n in range(10)]
    assert await taken() == oldest
    assert await taken(ended=True) == oldest + [f"e{n}" for n in reversed(range(10))]
    newest = await summaries(store, app.topology, Query(), 7)
    assert [flow.started for flow in newest] == sorted(
        (STARTED + n // spread for n in range(3, 10)), reverse=True
    )


async def test_one_that_ends_while_it_is_looked_at_moves_no_other(put, app, store, raw, monkeypatch):
    monkeypatch.setattr(query, "PAGE", 2)
    for n in range(9):
        put(f"f{n}", at=STARTED + n)
    seen = []
    async for record in selected(store, app.topology, Query()):
        seen.append(record.id)
        raw.zrem(store.shards[0].keys.flows, record.id)
        put(f"new{record.id}", at=STARTED + 100)
    assert seen == [f"f{n}" for n in range(9)]


async def test_one_that_ended_twice_or_goes_on_again_is_taken_once(put, taken, store, raw):
    put("again", state="refused")
    put("again", state="refused")
    put("back", state="completed")
    put("back")
    raw.hdel(store.shards[0].keys.flow("back"), "ended")
    assert await taken(ended=True) == ["back", "again"]
