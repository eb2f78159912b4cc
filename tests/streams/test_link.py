"""Links: many commands on one connection, and what becomes of those under way when it is lost."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import redis.asyncio

from hybrid.streams.connection import Connections
from hybrid.streams.link import Link


@pytest.fixture
async def client(bench):
    client = Connections(bench.shard.connections.url).commands()
    yield client
    await client.aclose()


@asynccontextmanager
async def spoken_to(said):
    """A link to a program that says `said` once it is spoken to."""

    async def answer(reader, writer):
        await reader.readline()
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as listener:
        port = listener.sockets[0].getsockname()[1]
        connection = redis.asyncio.Connection(host="127.0.0.1", port=port)
        connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
        link = Link(connection, 1)
        yield link
        link.close()


class TestReplies:
    async def test_come_to_those_who_asked_while_many_ask(self, client):
        replies = await asyncio.gather(*(client.raw("ECHO", str(n)) for n in range(1000)))
        assert replies == [b"%d" % n for n in range(1000)]

    async def test_of_one_who_went_away_do_not_go_to_another(self, client):
        await client.raw("PING")
        gone = asyncio.create_task(client.raw("ECHO", "gone"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await client.raw("ECHO", "here") == b"here"

    async def test_of_any_size_and_kind(self, client, bench):
        large = b"\0\r\n" * 5_000_000
        assert await client.raw("ECHO", large) == large
        assert await client.raw("GET", bench.keys.log) is None
        assert await client.raw("EVAL", "return {1, {'a', false}, 'ü'}", 0) == [1, [b"a", None], "ü".encode()]

    async def test_an_error_is_raised_where_it_belongs(self, client):
        fine, wrong, also = await asyncio.gather(
            client.raw("ECHO", "1"), client.raw("NONSENSE"), client.raw("ECHO", "2"), return_exceptions=True
        )
        assert (fine, also) == (b"1", b"2")
        assert isinstance(wrong, redis.ResponseError) and str(wrong).startswith("ERR unknown command")
        with pytest.raises(redis.exceptions.NoScriptError):
            await client.raw("EVALSHA", "0" * 40, 0)

    async def test_a_word_that_can_not_be_sent_leaves_the_link_whole(self, client):
        with pytest.raises(TypeError):
            await client.raw("ECHO", object())
        assert await client.raw("ECHO", "x") == b"x"


class TestALostConnection:
    async def test_all_under_way_are_told_and_the_next_command_opens_another(self, client, bench):
        await client.raw("PING")
        number = client.id
        waiting = [asyncio.create_task(client.raw("BLPOP", bench.keys.own("none"), 0)) for _ in range(3)]
        await asyncio.sleep(0)
        bench.raw.client_kill_filter(_id=number)
        for task in waiting:
            with pytest.raises(redis.ConnectionError):
                await task
        assert await client.raw("PING") == b"PONG"
        assert client.id != number

    async def test_one_that_was_lost_while_nobody_looked_is_replaced(self, client, bench):
        await client.raw("PING")
        bench.raw.client_kill_filter(_id=client.id)  # and the loop has had no turn since
        assert await client.raw("PING") == b"PONG"

    async def test_one_that_is_silent_while_it_owes_a_reply_is_given_up(self, bench):
        client = Connections(bench.shard.connections.url).commands()
        client._silence = 0.1
        with pytest.raises(redis.ConnectionError, match=r"no answer for 0\.1 s"):
            await client.raw("BLPOP", bench.keys.own("none"), 0)
        assert await client.raw("PING") == b"PONG"
        await client.aclose()

    async def test_one_that_is_idle_is_kept(self, bench):
        client = Connections(bench.shard.connections.url).commands()
        client._silence = 0.02
        await client.raw("PING")
        number, later = client.id, asyncio.get_running_loop().time() + 0.1
        while asyncio.get_running_loop().time() < later:
            await asyncio.sleep(0.01)
        await client.raw("PING")
        assert client.id == number
        await client.aclose()

    async def test_one_whose_blocked_command_is_cancelled_goes(self, bench):
        client = Connections(bench.shard.connections.url).blocking(10_000)
        await client.raw("PING")
        blocked = asyncio.create_task(client.raw("BLPOP", bench.keys.own("none"), 0))
        await asyncio.sleep(0)
        blocked.cancel()
        await asyncio.wait([blocked])
        assert await client.raw("PING") == b"PONG"
        await client.aclose()

    @pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n", b"+OK\r\n+TOO MUCH\r\n"])
    async def test_what_is_no_redis_is_told(self, said):
        async with spoken_to(said) as link:
            await asyncio.wait([link.send(("PING",))])
            while not link.lost:
                await asyncio.sleep(0.001)
            assert "can't be read" in str(link.lost)
            with pytest.raises(redis.ConnectionError):
                await link.send(("PING",))

    async def test_a_replica_that_was_the_master_is_left(self):
        async with spoken_to(b"-READONLY You can't write against a read only replica.\r\n") as link:
            with pytest.raises(redis.ReadOnlyError):
                await link.send(("SET", "a", "b"))
            assert link.lost
