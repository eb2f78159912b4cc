"""The context of one delivery: what a handler may ask for beside the message."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from hybrid.envelope import Envelope
from hybrid.errors import ApplicationError, HandlerError
from hybrid.messages import Event


class Context:
    """One delivery, as its handler sees it."""

    def __init__(
        self,
        envelope: Envelope,
        handler: str,
        inbox: Callable[[Context], Any] | None = None,
        replayed: bool = False,
    ) -> None:
        self.envelope = envelope
        self.attempt = envelope.attempt
        """1 for the first start of the handler for this message."""
        self.replayed = replayed
        """Whether this is history to the group: it stood on the topic before the group came to be, or had
        been given to the group before it was reset. A handler with effects outside may decline it. For up
        to a second after a reset it may be False where it should be True.
        """
        self.handler = handler
        self.published: list[Event] = []
        """What `publish` was given; goes out with the settle."""
        self.logger = logging.getLogger(f"hybrid.handler.{handler}")
        self._inbox = inbox
        self.open_transaction: Any = None
        """The transaction that the handler has entered, committed (with the reply) after it returns."""

    def publish(self, event: Event) -> None:
        """Broadcast an event, in the same settle as the acknowledgement; nothing goes out when the handler
        fails.
        """
        if not isinstance(event, Event):
            raise HandlerError(
                f"{self.handler} published a {type(event).__name__}: only events are broadcast"
            )
        self.published.append(event)

    def transaction(self) -> Any:
        """Return a context manager around a database session (SQLAlchemy) whose commit goes before the
        settle.

        The inbox row (message id and group) is inserted first: a second execution of the same message
        blocks on it and then ends with the stored reply, without running the body. The commit happens when
        the handler has returned, together with the reply. Needs a resource of type `hybrid.inbox.Database`.
        `with` in `def` handlers, `async with` in `async def` ones.
        """
        if self.open_transaction is not None:
            raise HandlerError(f"{self.handler} asks for a second transaction; a delivery has one")
        if self._inbox is None:
            raise ApplicationError(
                f"{self.handler} asks for a transaction, but no resource gives a hybrid.inbox.Database"
            )
        return self._inbox(self)
