"""A message that was mended: the entry that goes back in the place of the one that failed."""

from __future__ import annotations

from hybrid.broker.failures import Failure
from hybrid.codec import encode
from hybrid.envelope import FACTS, to_fields
from hybrid.keys import Keys
from hybrid.mediator.record import FlowRecord
from hybrid.messages import Message
from hybrid.repair.ways import Way
from hybrid.streams.transitions import hset, overtake, version


def mended(failure: Failure, message: Message, id: str, limit: int) -> dict[bytes, bytes]:
    """Return the fields of the entry that goes back, with the mended message under this id, linked to the
    failed one as its cause. Whoever waits for the failed one waits for it; fields that are no part of the
    envelope stay.

    With the id of the failed one it takes its place: an initiating event's id is its flow's.

    Raises MessageTooLarge, InvalidMessage, and ValueError when what failed is no message.
    """
    was = failure.envelope
    if was is None:
        raise ValueError(f"{failure.entry} is no message")
    envelope = was._replace(
        id=id, version=message.type_version, key=message.message_key() or was.key, attempt=1
    )
    if id != was.id:
        envelope = envelope._replace(origin=was.subject, cause=was.id)
    kept = {name: value for name, value in failure.fields.items() if name not in FACTS}
    flat = [
        item if isinstance(item, bytes) else str(item).encode()
        for item in to_fields(envelope, encode(message, limit))
    ]
    return kept | dict(zip(flat[::2], flat[1::2], strict=True))


def rewritten(keys: Keys, record: FlowRecord, message: Message, data: bytes) -> Way:
    """Return what puts the mended initiating event, with its data, on its flow's record, which has issued
    nothing yet: a flow runs from its record.
    """
    key, schema = keys.flow(record.id), str(message.type_version)
    return Way([version(key, record.version)], [hset(key, ["event", data, "schema", schema]), overtake(key)])
