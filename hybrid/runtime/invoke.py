"""Calling a handler: what it takes beside the message, its time limit, and the thread of one that is not
async.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import CancelledError as FutureCancelled
from functools import partial
from typing import Any, NamedTuple

from hybrid.context import Context
from hybrid.errors import ApplicationError, HandlerError, HandlerTimeout
from hybrid.messages import Event
from hybrid.processor import Handler
from hybrid.resources import shown_type
from hybrid.runtime.workplace import Workplace
from hybrid.settings import Settings
from hybrid.transactions import Replied, Transactional


class Contract(NamedTuple):
    """What a function may return beside None, how that is said of one that returns something else, and
    whether one that is not async and past its time limit is waited for, so that no attempt joins another.
    """

    returns: tuple[type, ...]
    said: str
    patient: bool = True


HANDLER = Contract((Event,), "a handler returns one Event, or None")


class Bound:
    """A handler, or another function under a contract, with the resources that it asks for."""

    def __init__(self, handler: Handler, workplace: Workplace, contract: Contract = HANDLER) -> None:
        self._contract = contract
        self.name = handler.name
        self.retry = handler.retry
        self._function = handler.function
        self._timeout = handler.timeout
        self._pool = workplace.pool
        self._catalog = workplace.topology.catalog
        self._is_async = handler.is_async
        self._given: dict[str, Any] = {}
        self._context_name = ""
        for name, kind in handler.parameters():
            if kind is Context:
                self._context_name = name
            else:
                self._given[name] = _resource(handler, kind, workplace)
        self.wants_context = bool(self._context_name)
        self.inbox: Callable[[Context], Any] | None = None
        for resource in workplace.resources.values():
            if isinstance(resource, Transactional):
                self.inbox = partial(resource.transaction, handler.component)

    async def call(self, message: Any, context: Context | None) -> Any:
        """Call the handler and return what it returns; commit its transaction, if it has one, with that.

        Raises HandlerTimeout past its time limit, HandlerError when it returns what its contract does not
        name; else whatever it raises.
        """
        given = {**self._given, self._context_name: context} if self.wants_context else self._given
        try:
            if not self._is_async:
                return await self._in_thread(partial(self._sync, message, given, context))
            if self._timeout is None:
                return await self._awaited(message, given, context)
            return await self._limited(message, given, context)
        except Replied as stored:
            return stored.unpacked(context, self._catalog)

    async def _limited(self, message: Any, given: dict[str, Any], context: Context | None) -> Any:
        assert self._timeout is not None
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                return await self._awaited(message, given, context)
        except TimeoutError:
            if limit.expired():
                raise HandlerTimeout(self.name, self._timeout) from None
            raise

    async def _awaited(self, message: Any, given: dict[str, Any], context: Context | None) -> Any:
        if context is None:
            return await self._cancellable(message, given)
        try:
            reply = await self._cancellable(message, given)
        except BaseException:
            if context.open_transaction:
                await context.open_transaction.aroll_back()
            raise
        if context.open_transaction:
            await context.open_transaction.acommit(reply, context.published)
        return reply

    async def _cancellable(self, message: Any, given: dict[str, Any]) -> Any:
        try:
            return self._checked(await self._function(message, **given))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            raise HandlerError(f"{self.name} was cancelled by something that it awaited") from None

    def _sync(self, message: Any, given: dict[str, Any], context: Context | None) -> Any:
        try:
            reply = self._checked(self._function(message, **given))
        except BaseException as error:
            if context and context.open_transaction:
                context.open_transaction.roll_back()
            if isinstance(error, StopIteration | asyncio.CancelledError | FutureCancelled):
                # what no future takes as an error of its own; a coroutine turns it into this by itself
                raise RuntimeError(f"{self.name} raised {type(error).__name__}") from error
            raise
        if context and context.open_transaction:
            context.open_transaction.commit(reply, context.published)
        return reply

    def _checked(self, reply: Any) -> Any:
        if reply is not None and not isinstance(reply, self._contract.returns):
            raise HandlerError(f"{self.name} returned a {type(reply).__name__}: {self._contract.said}")
        return reply

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """Run in a thread. One past its time limit can't be killed: unless the contract is impatient, the
        attempt ends when the thread does.
        """
        loop, run = asyncio.get_running_loop(), contextvars.copy_context().run
        if self._timeout is None:
            return await loop.run_in_executor(self._pool, run, work)
        started = asyncio.Event()  # waiting for a free thread does not count

        def begin() -> Any:
            loop.call_soon_threadsafe(started.set)
            return run(work)

        thread = loop.run_in_executor(self._pool, begin)
        try:
            await started.wait()
            _, late = await asyncio.wait([thread], timeout=self._timeout)
            if late and self._contract.patient:
                await asyncio.wait([thread])
        finally:
            thread.cancel()  # when we are cancelled while it waits for a free thread, or wait no longer
        if late:
            cause = None if thread.cancelled() else thread.exception()
            raise HandlerTimeout(self.name, self._timeout) from cause
        return thread.result()


def _resource(handler: Handler, kind: Any, workplace: Workplace) -> Any:
    if kind is Settings:
        return workplace.settings
    if kind not in workplace.resources:
        raise ApplicationError(
            f"{handler.name} asks for {shown_type(kind)}, which no resource gives: write a function that"
            " returns it, with @resource before it"
        )
    return workplace.resources[kind]
