"""Links: connections on which commands follow each other without waiting for replies (pipelining).

redis-py makes the connection: addresses, TLS, passwords and sentinels are its business. After the handshake
the link speaks on it by itself, with hiredis: a command through redis-py costs the program about twice as
much, and each one under way needs a connection of its own.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from typing import Any

import hiredis
import redis

Reply = asyncio.Future[Any]
_INCOMPLETE = object()


class Link(asyncio.Protocol):
    """One connection. Replies come in the order of the commands."""

    def __init__(self, connection: Any, silence: float) -> None:
        """Take over a redis-py connection that is connected. It is lost when the server owes a reply and has
        said nothing for `silence` seconds.
        """
        self.lost: Exception | None = None
        """Why it carries nothing more."""
        self._connection = connection
        self._transport: asyncio.Transport = connection._writer.transport
        self._transport.set_protocol(self)
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=_error, notEnoughData=_INCOMPLETE)
        self._owed: deque[Reply] = deque()
        self._silence = silence
        self._heard = True
        self._poll = select.poll()
        self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._watch: asyncio.TimerHandle | None = None

    @property
    def broken(self) -> bool:
        """Whether it carries nothing more. That the server has closed an idle connection may be known to the
        socket only: the loop has not come round since, as in a program that has just worked for long.
        """
        return self.lost is not None or (not self._owed and bool(self._poll.poll(0)))

    def send(self, words: tuple[Any, ...]) -> Reply:
        """Send a command; the future has its reply, or the error that the server answers.

        Raises TypeError for a word that is no text, bytes or number. The future raises redis.ConnectionError
        when the connection is lost: nobody knows then whether the command was carried out.
        """
        packed = hiredis.pack_command(words)
        reply = self._loop.create_future()
        if self.lost:
            reply.set_exception(_gone(self.lost))
            return reply
        self._owed.append(reply)
        self._transport.write(packed)
        if self._watch is None:
            self._listen()
        return reply

    def data_received(self, data: bytes) -> None:
        """Hand out the replies that are complete."""
        self._heard = True
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                self._answer(self._owed.popleft(), reply)
        except (hiredis.ProtocolError, IndexError) as error:  # what is at the other end is no Redis
            self.close(redis.ConnectionError(f"the answer can't be read: {error!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell all who wait."""
        self.close(error or redis.ConnectionError("the server closed the connection"))

    def close(self, why: Exception | None = None) -> None:
        """Close the connection; what is owed is not to be had."""
        if self.lost:
            return
        self.lost = why or redis.ConnectionError("the connection was closed")
        if self._watch:
            self._watch.cancel()
        self._connection._close()  # not `disconnect`: that waits for a protocol that is no longer there
        self._transport.abort()
        while self._owed:
            reply = self._owed.popleft()
            if not reply.done():
                reply.set_exception(_gone(self.lost))

    def _answer(self, owed: Reply, reply: Any) -> None:
        if not owed.done():  # its task may have been cancelled
            if isinstance(reply, redis.RedisError):
                owed.set_exception(reply)
            else:
                owed.set_result(reply)
        if isinstance(reply, redis.ReadOnlyError):  # no master any more: the next link finds the new one
            self.close(reply)

    def _listen(self) -> None:
        """See whether the server says something for as long as it owes a reply."""
        if not self._owed:
            self._watch = None
        elif not self._heard and self._watch:
            self.close(redis.TimeoutError(f"no answer for {self._silence:g} s"))
        else:
            self._heard = False
            self._watch = self._loop.call_later(self._silence, self._listen)


class Client:
    """A client whose commands go by one link, which is opened when it is needed, and again when it was lost.

    `plain` is the redis-py client under it, for what need not be fast. In a cluster everything goes by that:
    it knows where keys live.
    """

    def __init__(self, plain: Any, silence: float, *, cluster: bool = False, shared: bool = True) -> None:
        """Make a client. With `shared`, commands of several tasks are under way at once; without, a command
        that is cancelled takes the link with it, since the next one would wait behind it.
        """
        self.plain = plain
        self.id: int | None = None
        """What the server calls the connection; None before it is open, and in a cluster."""
        self._silence = silence
        self._cluster = cluster
        self._shared = shared
        self._link: Link | None = None
        self._opening = asyncio.Lock()

    async def raw(self, *words: Any) -> Any:
        """Return the reply to a command as it comes. Raises redis.RedisError and OSError."""
        if self._cluster:
            return await self.plain.execute_command(*words)
        link = self._link
        if link is None or link.broken:
            link = await self._open()
        if self._shared:
            return await link.send(words)
        try:
            return await link.send(words)
        except asyncio.CancelledError:
            link.close()
            raise

    async def aclose(self) -> None:
        """Close the connections; the next command opens a new one."""
        if self._link:
            self._link.close()
        self._link = self.id = None
        await self.plain.aclose()

    async def _open(self) -> Link:
        async with self._opening:
            if self._link is None or self._link.broken:
                if self._link:
                    self._link.close()
                self.id = None
                connection = self.plain.connection_pool.make_connection()
                await connection.connect()
                self._link = Link(connection, self._silence)
                self.id = await self._link.send(("CLIENT", "ID"))
            return self._link


def _error(text: str) -> redis.RedisError:
    """Return the error for an answer. It keeps its first word, by which `connection` tells what to do."""
    first = text.partition(" ")[0]
    kinds = {"NOSCRIPT": redis.exceptions.NoScriptError, "READONLY": redis.ReadOnlyError}
    return kinds.get(first, redis.ResponseError)(text)


def _gone(why: Exception) -> redis.RedisError:
    """Return an error of its own for one who waits."""
    return redis.ConnectionError(str(why) or type(why).__name__)
