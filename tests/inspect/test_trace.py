"""Traces: whichever message's id is given the whole story is found, and what can't be told is said."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from hybrid import App, Event, Flow, Mediator, Processor, RetryPolicy
from hybrid.errors import FlowError, StepTimeout
from hybrid.inspect import trace as module
from hybrid.inspect.trace import BROADCAST, COMMAND, EVENT, Handling, Trace, Traced, trace
from hybrid.mediator.classes import HARD
from tests.cli import shop
from tests.runtime.world import World, until


class Counted(Event):
    n: int


class Round(Event):
    n: int


@pytest.fixture
def world(fresh, settings, raw):
    """A world on the test's own store."""
    return World(fresh, settings, raw)


@pytest.fixture
def app(fresh, settings):
    """The small application, with a subscriber that sends something in turn, at its third attempt."""
    counter, audit, tries = Processor("counter"), Processor("audit"), []

    @counter.on(shop.Worked, retry=RetryPolicy(attempts=3, first_ms=20))
    async def count(event: shop.Worked) -> Counted:
        tries.append(event)
        if len(tries) < 3:
            raise ValueError(f"not yet: {len(tries)}")
        return Counted(n=event.n)

    @audit.on(Counted)
    async def note(event: Counted) -> None:
        pass

    components = [shop.front, shop.boss, shop.worker, shop.listener, counter, audit]
    return App(fresh, components, settings=settings)


def messages(message: Traced) -> dict[str, Traced]:
    """The messages of a trace, by type; the last of each."""
    found = {message.type: message}
    for handling in message.handlings:
        for sent in handling.sent:
            found |= messages(sent)
    return found


def by(message: Traced) -> dict[str, Handling]:
    """Who handled a message."""
    return {handling.component: handling for handling in message.handlings}


def told(found: Trace) -> Trace:
    """A trace without what depends on when it was read."""
    return replace(found, id="", at=0)


async def seen(store, app, id, condition):
    """Wait until the trace is as wanted; return it."""
    found = []

    async def holds():
        found[:] = [await trace(store, app.topology, id)]
        return condition(found[0])

    await until(holds)
    return found[0]


async def whole(store, app, client, event=shop.Go(n=1, token="q58w17z")) -> Trace:  # noqa: B008
    """The trace of an event whose last consequence has come."""
    id = (await client.send(event)).id
    return await seen(store, app, id, lambda t: by(messages(t.root).get("counted", t.root)).get("audit"))


async def test_the_whole_story(app, store):
    async with app.running() as client:
        found = await whole(store, app, client)
    types = {type: (message.kind, message.source) for type, message in messages(found.root).items()}
    assert types == {
        "go": (EVENT, ""),
        "work": (COMMAND, "boss"),
        "worked": (BROADCAST, "worker"),
        "counted": (BROADCAST, "counter"),
        "ended": (BROADCAST, "boss"),
    }
    assert found.classified == "hard by by_habit: it always was"
    assert (found.flow.state, found.missing) == ("completed", ())
    root, work, worked = (messages(found.root)[type] for type in ("go", "work", "worked"))
    assert {name: handling.state for name, handling in by(root).items()} == {
        "front": "classified",
        "boss": "completed",
    }
    assert {name: handling.state for name, handling in by(worked).items()} == {
        "listener": "done",
        "counter": "done",
    }
    (attempt,) = by(work)["worker"].attempts
    assert root.sent <= work.sent <= attempt.taken <= attempt.settled == worked.sent
    assert [(each.number, each.outcome, each.note) for each in by(worked)["counter"].attempts] == [
        (1, "retried", "ValueError: not yet: 1"),
        (2, "retried", "ValueError: not yet: 2"),
        (3, "done", ""),
    ]
    assert worked.data == {"n": 1}
    assert "q58w17z" not in json.dumps(asdict(found))


async def test_any_messages_id_finds_it(app, store):
    async with app.running() as client:
        found = await whole(store, app, client)
    ids = {type: message.id for type, message in messages(found.root).items()}
    assert ids["work"] == f"{ids['go']}/1/1"
    for id in ids.values():  # `ended` is heard by nobody: it stands on its topic only
        other = await trace(store, app.topology, id)
        assert (other.id, told(other)) == (id, told(found))


async def test_a_simple_event(app, store):
    async with app.running() as client:
        id = (await client.send(shop.Ping(n=1))).id
        done = await seen(store, app, id, lambda t: by(messages(t.root).get("touch", t.root)).get("worker"))
    touch = messages(done.root)["touch"]
    assert (done.flow, done.classified, touch.kind, touch.source) == (
        None,
        "simple by ping",
        COMMAND,
        "front",
    )
    assert told(await trace(store, app.topology, touch.id)) == told(done)


async def test_one_that_was_published_past_the_mediators(app, store):
    async with app.running("listener") as client:
        id = (await client.publish(shop.Worked(n=1))).id
        found = await seen(
            store, app, id, lambda t: by(t.root).get("listener") and by(t.root)["listener"].attempts
        )
    assert (found.root.kind, found.missing) == (BROADCAST, ())


async def test_what_waits_and_what_runs(app, store):
    async with app.client() as client:
        id = (await client.send(shop.Go(n=1, note="lost"))).id
        found = await trace(store, app.topology, id)
        assert (found.root.type, by(found.root)["front"].state, found.missing) == ("go", "waiting", ())
    async with app.running("front"):
        await seen(store, app, id, lambda t: by(t.root).get("boss") and by(t.root)["boss"].state == "waiting")
    async with app.running("boss"):
        lost = await seen(store, app, id, lambda t: "lost" in messages(t.root))
    assert by(lost.root)["boss"].state == "running"
    (nobody,) = messages(lost.root)["lost"].handlings
    assert (nobody.component, nobody.state) == ("nobody", "waiting")
    assert nobody.note == "no processor handles it"


async def test_a_command_waits_then_runs(fresh, settings, app, store):
    async with app.running("front", "boss") as client:
        id = (await client.send(shop.Go(n=1, note="slow"))).id
        found = await seen(store, app, id, lambda t: "work" in messages(t.root))
    work = messages(found.root)["work"]
    assert (by(work)["worker"].state, work.data["n"]) == ("waiting", -1)
    at_once = settings.model_copy(update={"stop_ms": 0})
    hurried = App(fresh, [shop.front, shop.boss, shop.worker], settings=at_once)
    async with hurried.running("worker"):
        await seen(
            store, app, f"{id}/1/1", lambda t: by(messages(t.root)["work"])["worker"].state == "running"
        )


async def test_a_listener_that_has_not_come_yet(app, store):
    async with app.running("listener"):
        pass
    async with app.running("front", "boss", "worker") as client:
        id = (await client.send(shop.Go(n=1))).id
        await client.wait(id)
    found = await trace(store, app.topology, id)
    assert by(messages(found.root)["worked"])["listener"].state == "waiting"


async def test_a_failure_names_what_sends_it_back(app, store, world):
    async with app.running() as client:
        id = (await client.send(shop.Go(n=13))).id
        await client.wait(id)
        found = await trace(store, app.topology, id)
        failed = by(messages(found.root)["work"])["worker"]
        failure = await world.failure("worker")
    assert [attempt.outcome for attempt in failed.attempts] == ["retried", "failed"]
    assert (failed.state, found.flow.state) == ("failed", "failed")
    assert failed.note == f"`hybrid failed retry worker/{failure.entry}` sends it back"
    await world.send_back(app, failure)
    again = by(messages((await trace(store, app.topology, id)).root)["work"])["worker"]
    assert (again.state, len(again.attempts)) == ("waiting", 2)


async def test_a_flow_that_fails_by_itself(app, store):
    async with app.running() as client:
        id = (await client.send(shop.Go(n=1, note="broken"))).id
        await client.wait(id)
    boss = by((await trace(store, app.topology, id)).root)["boss"]
    assert (boss.state, boss.attempts[-1].note) == ("failed", "ZeroDivisionError: the flow is broken")
    assert boss.note.startswith("`hybrid failed retry boss/")


async def test_a_step_that_timed_out(fresh, settings, store):
    hasty = Mediator("hasty", handles=HARD)

    @hasty.flow(shop.Go)
    async def go(event: shop.Go, flow: Flow) -> None:
        with suppress(StepTimeout):
            await flow.do(shop.Lost(n=1), timeout=timedelta(milliseconds=50))

    app = App(fresh, [shop.front, hasty], settings=settings)
    async with app.running() as client:
        id = (await client.send(shop.Go(n=1))).id
        found = await seen(store, app, id, lambda t: "lost" in messages(t.root))
        lost = messages(found.root)["lost"]
        assert lost.sent < lost.deadline < lost.sent + 100
        found = await seen(store, app, id, lambda t: messages(t.root)["lost"].note)
    assert messages(found.root)["lost"].note == "timed out, the flow went on"


async def test_when_the_log_is_gone_the_record_tells(app, store, world):
    async with app.running() as client:
        found = await whole(store, app, client)
    world.raw.delete(world.keys.log)
    less = await trace(store, app.topology, found.id)
    assert less.missing == ("what was settled before: the settle log is empty",)
    work, worked = messages(less.root)["work"], messages(less.root)["worked"]
    (attempt,) = by(work)["worker"].attempts
    (was,) = by(messages(found.root)["work"])["worker"].attempts
    assert attempt.taken == was.taken
    assert abs(attempt.settled - was.settled) < 1000
    assert (worked.data, worked.note) == ({"n": 1}, "")


async def test_when_the_log_begins_later_it_says_when(app, store, world):
    async with app.running() as client:
        found = await whole(store, app, client)
        world.raw.delete(world.keys.log)
        await whole(store, app, client)
    (missing,) = (await trace(store, app.topology, found.id)).missing
    assert missing.startswith("what was settled before: the settle log reaches back to 20")
    assert missing.endswith(" UTC only")


async def test_what_a_topic_keeps_no_longer(app, store, world):
    async with app.running("front", "boss", "worker") as client:
        id = (await client.send(shop.Go(n=1))).id
        await client.wait(id)
    found = await trace(store, app.topology, id)
    for type in ("worked", "ended"):
        world.raw.xtrim(world.keys.topic(type), maxlen=0)
    less = await trace(store, app.topology, id)
    worked, was = messages(less.root)["worked"], messages(found.root)["worked"]
    assert (worked.id, worked.data, worked.note) == (was.id, None, "its topic keeps it no longer")
    assert less.missing == ("broadcasts that nobody heard, of topics trimmed since: ended, worked",)


async def test_when_the_record_is_forgotten_the_log_tells(app, store, world):
    async with app.running() as client:
        found = await whole(store, app, client)
    world.raw.delete(world.keys.flow(found.id))
    for id in (found.id, f"{found.id}/1/1"):
        less = await trace(store, app.topology, id)
        assert less.flow is None
        assert less.missing[0].startswith("the flow's record, which is forgotten")
        assert by(less.root)["boss"].state == "completed"
        assert messages(less.root).keys() == messages(found.root).keys()


async def test_only_the_log_knows(app, store, world):
    async with app.running() as client:
        found = await whole(store, app, client)
    topics = [world.keys.topic(type) for type in ("worked", "counted", "ended")]
    world.raw.delete(world.keys.flow(found.id), *topics)
    less = await trace(store, app.topology, messages(found.root)["counted"].id)
    types = messages(less.root)
    assert types.keys() == {"go", "work", "worked", "counted"}
    assert by(types["worked"])["counter"].sent == (types["counted"],)


async def test_a_circle_of_broadcasts_ends(fresh, settings, store):
    ring = Processor("ring")

    @ring.on(Round)
    async def on(event: Round) -> Round | None:
        return Round(n=event.n - 1) if event.n else None

    app = App(fresh, [ring], settings=settings)
    async with app.running() as client:
        id = (await client.publish(Round(n=module.DEEPEST + 5))).id
        found = await seen(store, app, id, lambda t: t.missing)
    deepest = messages(found.root)["round"]
    assert found.missing == (
        f"what is more than {module.DEEPEST} messages deep: see `hybrid trace {deepest.id}`",
    )


@pytest.mark.parametrize("id", ["nope", "", "nope/1/1", "../x", "*", "{x}"])
async def test_an_unknown_one(app, store, id):
    with pytest.raises(FlowError, match="nor is it in the settle log, which is empty"):
        await trace(store, app.topology, id)


async def test_an_unknown_one_among_others(app, store):
    async with app.running() as client:
        id = (await client.send(shop.Go(n=1))).id
        await client.wait(id)
    with pytest.raises(FlowError, match=f"no message {id}/1/9: `hybrid trace {id}` shows"):
        await trace(store, app.topology, f"{id}/1/9")
    with pytest.raises(FlowError, match="searched back to 20.* UTC, nor among the newest 5,000 entries"):
        await trace(store, app.topology, "nope")


def test_reads_that_are_near_to_one_another_are_one():
    spans = module._spans({1000, 1010, 1100, 5000})
    assert spans == [("950", "1150"), ("4950", "5050")]
    assert len(module._spans(set(range(0, 10_000_000, 1000)))) <= module.SPANS + 1
