"""Signals: what somebody outside says to one flow, by name. A flow takes them one by one, in the order in
which they came, whether it waits for one already or not.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from hybrid.broker.outputs import wake_up
from hybrid.codec import pack
from hybrid.errors import ApplicationError, InvalidMessage, MessageTooLarge
from hybrid.keys import Keys
from hybrid.mediator.record import SIGNAL, SIGNALLED, FlowRecord, Result
from hybrid.streams.transitions import Signalled, Transition, arrive, is_open, new_signal, overtake, rpush

_NAME = re.compile(r"[a-z][a-z0-9-]{0,59}")


class Signal(NamedTuple):
    """A signal: its id (one that the flow has had counts once), its name, its packed data, who sent it, and
    when (ms).
    """

    id: str
    name: str
    data: bytes
    by: str
    at: int


def checked_signal(name: str) -> str:
    """Return a signal's name. Raises ApplicationError when it is not kebab-case."""
    if not _NAME.fullmatch(name):
        raise ApplicationError(
            f"{name!r} is no name for a signal: a-z, 0-9 and -, a letter first, 60 at most"
        )
    return name


def packed_data(name: str, data: dict[str, Any] | None, limit: int) -> bytes:
    """Return a signal's data, packed; at most `limit` bytes. Raises InvalidMessage, MessageTooLarge."""
    if data is not None and not isinstance(data, dict):
        raise InvalidMessage(f"signal {name}", [("data", f"is a dict or None, no {type(data).__name__}")])
    try:
        packed = pack(json.loads(json.dumps(data, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise InvalidMessage(f"signal {name}", [("data", f"is not JSON-ready: {error}")]) from None
    if len(packed) > limit:
        raise MessageTooLarge(f"signal {name}", len(packed), limit)
    return packed


def signalling(keys: Keys, record: FlowRecord, signal: Signal) -> Transition:
    """Return the transition that gives a flow a signal. It fails its check when the flow has ended, and was
    handled already when the flow has had a signal of this id.
    """
    flow, history = keys.flow(record.id), keys.history(record.id)
    at = Signalled(flow, keys.timers, signal.name)
    value = Result(SIGNALLED, data=signal.data, by=signal.by, done=signal.at).packed()
    wake = wake_up(keys, record.facts["mediator"], record.id)
    entry = pack([signal.at, SIGNAL, [[signal.name, signal.id, signal.by]]])
    return Transition(
        [is_open(flow)],
        [new_signal(flow, signal.id, value)],
        [arrive(at, signal.id, wake), overtake(flow), rpush(history, entry)],
    )
