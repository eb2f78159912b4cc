"""Every instance: each process hears each event from when it started, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from hybrid import Context, Processor, RetryPolicy
from hybrid.errors import ApplicationError
from tests.runtime.messages import Noted, Paid, Pay
from tests.runtime.world import until, working
from tests.servers import VALKEY, spawn


def cache(**options):
    """Return a processor that keeps what it hears."""
    pages = Processor("pages")
    pages.heard = []

    @pages.on(Noted, every_instance=True, **options)
    async def drop(event: Noted, context: Context) -> None:
        pages.heard.append((event.text, context.envelope.type, context.replayed))
        if event.text == "bad":
            raise ValueError("no such page")

    return pages


@pytest.mark.parametrize(
    ("message", "options", "says"),
    [
        (Pay, {}, r"@pages.on\(Pay\): every_instance is for events"),
        (Noted, {"start": "beginning"}, "every instance begins when it starts: leave out start='beginning'"),
        (Noted, {"retry": RetryPolicy(attempts=9)}, "comes once and is not tried again: leave out retry"),
    ],
)
def test_what_does_not_go_together(message, options, says):
    with pytest.raises(ApplicationError, match=says):
        Processor("pages").on(message, every_instance=True, **options)(print)


async def test_each_process_hears_each_event_and_nothing_is_left_behind(world):
    first, second = cache(), cache()
    apps = world.app(first), world.app(second)
    async with world.app(messages=[Noted]).client() as client:
        await client.publish(Noted(text="before"))
    topic = world.keys.topic("noted")
    async with working(apps[0]), apps[0].client() as client:
        await client.publish(Noted(text="a"))
        await until(lambda: len(first.heard) == 1)
        async with working(apps[1]):
            await client.publish_many([Noted(text=text) for text in "bcd"])
            await until(lambda: (len(first.heard), len(second.heard)) == (4, 3))
        assert world.raw.xinfo_groups(topic) == []
    assert first.heard == [(text, "noted", False) for text in "abcd"]
    assert second.heard == first.heard[1:]
    assert world.log() == []
    assert world.counters() == {"entered:topic:noted": 5}
    assert world.raw.hgetall(world.keys.groups) == {}


async def test_it_is_heard_beside_a_group_of_the_same_processor(world):
    pages = cache()
    done = []

    @pages.on(Paid)
    async def paid(event: Paid):
        done.append(event.order)

    async with world.running(pages) as client:
        await client.publish(Paid(order="o1"))
        await client.publish(Noted(text="a"))
        await until(lambda: done and pages.heard)
    assert world.counter("settled:pages") == 1


async def test_an_error_is_told_and_the_next_event_is_heard(world, caplog):
    pages = cache()
    async with world.running(pages) as client:
        await client.publish(Noted(text="bad"))
        world.raw.xadd(world.keys.topic("noted"), {"what": "no message"})
        await client.publish(Noted(text="good"))
        await until(lambda: len(pages.heard) == 2)
    assert "pages.drop failed for" in caplog.text
    assert "no such page" in caplog.text
    assert "is not heard" in caplog.text
    assert world.failures("pages") == []


@pytest.mark.parametrize("what", ["publish", "transaction", "return"])
async def test_it_changes_nothing_in_the_store(world, caplog, what):
    pages, seen = Processor("pages"), []

    @pages.on(Noted, every_instance=True)
    def drop(event: Noted, context: Context):
        seen.append(event.text)
        if what == "publish":
            context.publish(Paid(order="o1"))
        if what == "transaction":
            context.transaction()
        return Paid(order="o1")

    async with world.running(pages) as client:
        await client.publish(Noted(text="a"))
        await until(lambda: "pages.drop" in caplog.text)
    says = {
        "publish": "publishes, and every instance would",
        "transaction": "only a group's handler has an inbox",
        "return": "returned a Paid, which goes nowhere",
    }
    assert says[what] in caplog.text
    assert world.broadcasts(Paid) == []


async def test_a_handler_that_says_it_returns_something_is_refused_at_start(world):
    pages = Processor("pages")

    @pages.on(Noted, every_instance=True)
    async def drop(event: Noted) -> Paid | None:
        raise NotImplementedError

    with pytest.raises(
        ApplicationError, match=r"pages.drop returns something, and every instance would broadcast"
    ):
        async with world.running(pages):
            raise NotImplementedError


async def test_no_more_than_its_limit_run_at_once(world):
    pages, release, running, most = Processor("pages"), asyncio.Event(), [], []

    @pages.on(Noted, every_instance=True, concurrency=3)
    async def drop(event: Noted) -> None:
        running.append(event.text)
        most.append(len(running))
        await release.wait()
        running.remove(event.text)

    async with world.running(pages) as client:
        await client.publish_many([Noted(text=f"n{n}") for n in range(20)])
        await until(lambda: len(running) == 3)
        release.set()
        await until(lambda: len(most) == 20)
        await until(lambda: not running)
    assert max(most) == 3


async def test_it_goes_on_after_the_server_was_away(world, tmp_path, caplog):
    """The server is killed and started again on the same data: what came before and after is heard once."""
    pages = cache()
    with spawn(VALKEY, tmp_path, extra_args=("--appendonly", "yes", "--appendfsync", "always")) as own:
        app = world.app(pages, redis_url=own.url, lease_ms=5000)
        async with app.running() as client:
            await client.publish(Noted(text="a"))
            await until(lambda: len(pages.heard) == 1)
            own.kill9()
            await until(lambda: "listening again" in caplog.text)
            own.restart()

            async def sent():
                try:
                    return await client.publish(Noted(text="b"), id="b")
                except Exception:  # the server is not there yet
                    return False

            await until(sent)
            await until(lambda: len(pages.heard) == 2)
    assert [text for text, *_ in pages.heard] == ["a", "b"]


async def test_all_shards_are_heard(world):
    pages = cache()
    async with world.running(pages, shards=3) as client:
        await client.publish_many([Noted(text=f"n{n}") for n in range(30)])
        await until(lambda: len(pages.heard) == 30)
    assert {text for text, *_ in pages.heard} == {f"n{n}" for n in range(30)}
