"""Outputs: messages on their way into channels, as effects of a settle."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from hybrid.broker.order import turn
from hybrid.envelope import Envelope, to_fields
from hybrid.errors import HandlerError
from hybrid.keys import Keys
from hybrid.settings import Settings
from hybrid.streams.transitions import Item, Wake, add, readmit

WAKE_UP = "wake-up"
"""The type of the entry that tells a mediator to go on with a flow."""


@cache
def entered(channel: str) -> str:
    """Return the counter of what has entered a channel."""
    return f"entered:{channel}"


def check_outputs(sender: str, sizes: Sequence[int], settings: Settings) -> None:
    """Raise HandlerError when one settle would send more messages (a size for each) or bytes than it may."""
    if (number := len(sizes)) > (most := settings.max_outputs):
        raise HandlerError(
            f"{sender} sends {number} messages at once, the limit is {most} (HYBRID_MAX_OUTPUTS)"
        )
    if (size := sum(sizes)) > (most := settings.max_settle_bytes):
        raise HandlerError(
            f"{sender} sends {size:,} bytes at once, the limit is {most:,} (HYBRID_MAX_SETTLE_BYTES)"
        )


def command_output(keys: Keys, envelope: Envelope, data: bytes) -> Item:
    """Return the effect that puts a command on the queue of its type."""
    return add(keys.command(envelope.type), entered(f"command:{envelope.type}"), to_fields(envelope, data))


def event_output(keys: Keys, envelope: Envelope, data: bytes) -> Item:
    """Return the effect that broadcasts an event on its topic."""
    return add(keys.topic(envelope.type), entered(f"topic:{envelope.type}"), to_fields(envelope, data))


def initiating_output(keys: Keys, mediator: str, envelope: Envelope, data: bytes) -> Item:
    """Return the effect that puts an initiating event on a mediator's event queue."""
    return add(keys.event(mediator), entered(f"event:{mediator}"), to_fields(envelope, data))


def again_output(keys: Keys, component: str, fields: dict[bytes, Any], queue: str = "") -> Item:
    """Return the effect that puts an entry back for one group only: on this queue or the group's own, not
    counted as new.
    """
    flat = [item for pair in fields.items() for item in pair]
    if order := turn(keys, component, fields):
        return readmit(order, flat)
    return add(queue or keys.own(component), "", flat)


def wake_up(keys: Keys, mediator: str, flow: str) -> Wake:
    """Return the wake-up of a flow."""
    return Wake(keys.own(mediator), entered(f"own:{mediator}"), ["type", WAKE_UP, "flow", flow])
