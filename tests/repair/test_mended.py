"""A mended message: what is new in its entry, and what stays."""

import pytest

from hybrid import Command
from hybrid.broker.failures import Failure
from hybrid.codec import unpack
from hybrid.envelope import Envelope, from_fields, to_fields
from hybrid.errors import MessageTooLarge
from hybrid.repair.mended import mended


class Pay(Command, key="account", version=3):
    account: str


WAS = Envelope(
    "f1/2/3", "pay", 2, "f1", "f1", "", "A1", 7, "boss", "00-t", 4, 9_000, "f1", 2, 3, "boss"
)  # fmt: skip


def failure(envelope=WAS, **more):
    flat = [item if isinstance(item, bytes) else str(item).encode() for item in to_fields(envelope, b"old")]
    fields = dict(zip(flat[::2], flat[1::2], strict=True)) | {k.encode(): v for k, v in more.items()}
    return Failure("5-0", "payment", "command:pay", "payment.pay", fields)


def read(fields):
    return from_fields(fields, b"8-0")


def test_who_waits_for_the_failed_one_waits_for_it():
    fields = mended(failure(), Pay(account="A2"), "new", 100)
    assert read(fields) == WAS._replace(
        id="new", version=3, key="A2", attempt=1, origin="f1/2/3", cause="f1/2/3"
    )
    assert unpack(fields[b"data"]) == {"account": "A2"}


def test_mended_twice_the_first_stays_the_origin():
    again = failure(WAS._replace(id="new", origin="f1/2/3", cause="f1/2/3"))
    envelope = read(mended(again, Pay(account="A2"), "newer", 100))
    assert (envelope.origin, envelope.cause, envelope.flow, envelope.step) == ("f1/2/3", "new", "f1", 3)


def test_under_its_own_id_it_takes_its_place():
    envelope = read(mended(failure(), Pay(account="A1"), "f1/2/3", 100))
    assert envelope == WAS._replace(version=3, attempt=1)


def test_other_fields_stay():
    fields = mended(failure(gate=b"g", replayed=b"1"), Pay(account="A2"), "new", 100)
    assert (fields[b"gate"], fields[b"replayed"]) == (b"g", b"1")


def test_what_can_not_be_stored_or_is_no_message():
    with pytest.raises(MessageTooLarge):
        mended(failure(), Pay(account="A" * 100), "new", 100)
    with pytest.raises(ValueError, match="5-0 is no message"):
        mended(Failure("5-0", "payment", "c", "h", {}), Pay(account="A"), "new", 100)
