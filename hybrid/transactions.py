"""Transactions of deliveries: what the runtime needs to know of them. `hybrid.inbox` has them for
SQLAlchemy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from hybrid.catalog import Catalog
from hybrid.codec import unpack
from hybrid.context import Context


class Replied(BaseException):
    """This message was handled before; its reply is stored. No error: the way out of the handler, past its
    `except Exception`.
    """

    def __init__(self, stored: bytes) -> None:
        super().__init__("handled before")
        self._stored = stored

    def unpacked(self, context: Context | None, catalog: Catalog) -> Any:
        """Return the stored reply; what was published beside it goes out again (with the same ids)."""
        reply, *published = [event and catalog.decode(*event) for event in unpack(self._stored)]
        if context is not None:
            context.published[:] = published  # type: ignore[assignment]
        return reply


class Transactional(ABC):
    """A resource in which handlers have transactions, by `context.transaction()`."""

    @abstractmethod
    def transaction(self, component: str, context: Context) -> Any:
        """Return the transaction of one delivery: a context manager that gives a session.

        The context's `open_transaction` is set on entry; the runtime commits or rolls it back when the
        handler is done: `commit(reply, published)` and `roll_back()`, or `acommit` and `aroll_back` when it
        is async.
        """
