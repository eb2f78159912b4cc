"""The ledger, and flows that nothing will carry on: looked at while things are wrong on purpose."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from hybrid import App
from hybrid.inspect.flows import flow, summaries
from hybrid.inspect.ledger import ledger
from hybrid.inspect.loose import loose_flows
from hybrid.inspect.pulse import PulseReader
from hybrid.inspect.status import status
from tests.cli import shop


@pytest.fixture
def app(fresh, settings):
    """The small application under a name of its own."""
    return App(fresh, [shop.front, shop.boss, shop.worker, shop.listener], settings=settings)


@pytest.fixture
async def running(app, store):
    """Send events to a worker that runs; return what to look at."""

    @asynccontextmanager
    async def run(*names):
        async with app.running(*names) as client:
            yield client

    return run


async def settled(store, app):
    """Wait until nothing is on its way."""
    while any(g.waiting + g.pending + g.later for g in (await ledger(store, app.topology)).groups):
        await asyncio.sleep(0.02)


async def test_it_balances_before_amid_and_after(app, store, running):
    assert (await ledger(store, app.topology)).balanced
    async with running() as client:
        receipts = await client.send_many([shop.Go(n=n) for n in range(100, 300)])
        for _ in range(20):
            assert (await ledger(store, app.topology)).balanced
            assert await loose_flows(store, app.topology) == []
        await asyncio.gather(*(client.wait(receipt.id) for receipt in receipts))
        await settled(store, app)
    books = await ledger(store, app.topology)
    by_name = {group.group: group for group in books.groups}
    assert by_name["worker"].settled == by_name["worker"].entered == 200
    assert by_name["listener"].settled == 200


async def test_what_vanished_is_missing(app, store, running):
    async with running("front"):
        pass
    async with app.client() as client:
        await client.send_many([shop.Ping(n=n) for n in range(5)])
    keys = store.shards[0].keys
    (entry, _), *_ = await store.shards[0].queries.range(keys.event("front"))
    await store.shards[0]._client.plain.xdel(keys.event("front"), entry)
    books = await ledger(store, app.topology)
    assert [group.missing for group in books.groups if group.group == "front"] == [1]
    assert not books.balanced
    assert "1 entered and are nowhere" in (await status(store, app.topology)).sickness[-1]


async def test_a_processor_under_another_name_does_not_upset_it(app, store, running, settings):
    async with running() as client:
        await client.wait((await client.send(shop.Go(n=1))).id)
        await settled(store, app)
    clerk = type(shop.worker)("clerk")
    clerk.handlers.update(shop.worker.handlers)
    renamed = App(app.name, [shop.front, shop.boss, clerk], settings=settings)
    books = await ledger(store, renamed.topology)
    assert books.balanced
    assert {group.group for group in books.groups if group.retired} == {"worker", "listener", ""}


async def test_a_flow_whose_command_vanished_is_loose(app, store, running):
    async with running("front", "boss") as client:
        id = (await client.send(shop.Go(n=1))).id
        while not await summaries(store, app.topology):
            await asyncio.sleep(0.02)
        assert await loose_flows(store, app.topology) == []
        await store.shards[0]._client.plain.delete(store.shards[0].keys.command("work"))
        (found,) = await loose_flows(store, app.topology)
        assert (found.flow, found.missing) == (id, "step 1 (work)")
        assert any(
            "waits for what is nowhere" in problem for problem in (await status(store, app.topology)).problems
        )


async def test_a_flow_whose_wake_up_vanished_is_loose(app, store, running):
    async with running("front", "boss") as client:
        await client.send(shop.Go(n=1))
        while not await summaries(store, app.topology):
            await asyncio.sleep(0.02)
    async with running("worker"):
        while not await store.shards[0].queries.range(store.shards[0].keys.own("boss")):
            await asyncio.sleep(0.02)
    assert await loose_flows(store, app.topology) == []
    await store.shards[0]._client.plain.delete(store.shards[0].keys.own("boss"))
    (found,) = await loose_flows(store, app.topology)
    assert found.missing == "a wake-up"


@pytest.mark.parametrize("event", [shop.Go(n=13), shop.Go(n=1, note="broken"), shop.Go(n=1, note="lost")])
async def test_a_flow_that_failed_or_waits_is_not_loose(app, store, running, event):
    async with running() as client:
        id = (await client.send(event)).id
        if event.note == "lost":
            while not any(flow.waiting_for for flow in await summaries(store, app.topology)):
                await asyncio.sleep(0.02)
        else:
            await client.wait(id)
        assert await loose_flows(store, app.topology) == []
        (found,) = await summaries(store, app.topology)
        assert found.state == ("running" if event.note == "lost" else "failed")


async def test_the_pulse_counts_on_from_where_it_was(app, store, running):
    reader = PulseReader(store, app.topology)
    assert (await reader.take()).ended == 0
    async with running() as client:
        for n in (1, 2):
            await client.wait((await client.send(shop.Go(n=n))).id)
            await client.wait((await client.send(shop.Ping(n=n))).id)
            await settled(store, app)
            pulse = await reader.take()
            assert pulse.outcomes == {"completed": 2 * n}
            assert pulse.heard == {("worked", "listener"): n}
            assert pulse.messages("command") == {"work": n, "touch": n}
            assert pulse.outstanding == pulse.failed == pulse.unfinished == 0
    assert len(reader.spans) == 6


async def test_secrets_are_masked_everywhere(app, store, running):
    async with running() as client:
        id = (await client.send(shop.Go(n=13, token="5817"))).id
        await client.wait(id)
        view = await flow(store, app.topology, id)
    assert view.event["token"] == "**********"
    assert "5817" not in repr(view)
