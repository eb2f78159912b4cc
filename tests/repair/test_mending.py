"""Which repair a failure goes to, and the chain of those who have mended a message."""

from hybrid import Processor, WorkflowProcessor
from hybrid.broker.failures import Culprit, failure_of
from hybrid.codec import pack
from hybrid.envelope import Envelope, from_fields, to_fields
from hybrid.repair.mending import LONGEST, MENDED, MOST, mendings, noted, repaired, route
from hybrid.topology import Topology
from tests.runtime.messages import Noted, Pay

ENTRY = b"1700000000000-0"
STEP = Envelope(
    "f1/1/3", "pay", 1, "f1", "f1", source="orders", flow="f1", run=1, step=3, reply="orders", key="o1",
    time=7, expires=9, trace="00-ab-cd-01", attempt=3,
)  # fmt: skip


def wired():
    payment, fixer = Processor("payment"), WorkflowProcessor("fixer")
    payment.on(Pay)(lambda command: None)

    @fixer.repairs(Pay | Noted, on=ValueError)
    def mend(failed):
        raise NotImplementedError

    return Topology([payment, fixer])


def failure(envelope=STEP, error=None, component="payment", **fields):
    flat = [
        word if isinstance(word, bytes) else word.encode() for word in to_fields(envelope, pack({"a": 1}))
    ]
    whole = dict(zip(flat[::2], flat[1::2], strict=True)) | {k.encode(): v for k, v in fields.items()}
    error = error or ValueError("no")
    return failure_of(Culprit(component, f"{component}.pay", "command:pay"), whole, error, 3)


def test_a_failure_goes_to_who_repairs_its_message_and_its_error():
    topology = wired()
    assert route(topology, failure(), UnicodeError()).repair.name == "fixer.mend"
    assert route(topology, failure(), KeyError()) == (None, "")
    assert route(topology, failure(component="other"), ValueError()) == (None, "")
    assert route(topology, failure(STEP._replace(type="noted")), ValueError()) == (None, "")  # not handled
    assert route(topology, failure(STEP._replace(type="nothing-known")), ValueError()) == (None, "")
    broken = failure()
    broken.fields.clear()
    assert route(topology, broken, ValueError()) == (None, "")


def test_the_mended_message_is_the_steps_own():
    was = failure(gate=b"g", replayed=b"1")
    fields = repaired(was, "fixer", Pay(order="o2"), 999)
    now = from_fields(fields, ENTRY)
    assert now == STEP._replace(
        id=now.id, cause="f1/1/3", origin="f1/1/3", source="fixer", key="o2", attempt=1
    )
    assert now.id != STEP.id
    assert repaired(was, "fixer", Pay(order="o2"), 999)[b"id"].decode() == now.id  # the same in a re-run
    assert (fields[b"gate"], fields[b"replayed"]) == (b"g", b"1")
    assert fields[MENDED] == b"fixer\tValueError"


def test_an_initiating_event_keeps_its_id():
    was = failure(Envelope("e1", "noted", time=7, trace="00-ab-cd-01"))
    fields = repaired(was, "fixer", Noted(text="x"), 999, initiating=True)
    assert from_fields(fields, ENTRY) == Envelope("e1", "noted", time=7, trace="00-ab-cd-01")
    assert fields[MENDED] == b"fixer\tValueError"


def test_the_chain_grows_and_the_origin_stays():
    first = failure()
    second = failure(error=KeyError())
    second.fields.clear()
    second.fields.update(repaired(first, "fixer", Pay(order="o2"), 999))
    assert mendings(second) == [("fixer", "ValueError")]
    fields = repaired(second, "other", Pay(order="o3"), 999)
    assert from_fields(fields, ENTRY).origin == "f1/1/3"
    assert fields[MENDED] == b"fixer\tValueError\nother\tKeyError"


def test_a_chain_ends():
    topology = wired()
    again = route(topology, failure(mended=b"fixer\tValueError"), ValueError())
    assert again == (None, "fixer has mended it already, and it failed in the same way again")
    by_others = b"fixer\tKeyError\nother\tValueError"
    assert route(topology, failure(mended=by_others), ValueError()).repair
    long = b"\n".join(b"fixer\tWrong%d" % n for n in range(MOST))
    assert "the repairs loop" in route(topology, failure(mended=long), ValueError()).note
    assert route(topology, failure(mended=b"\xff\n\n\t"), ValueError()).repair


def test_a_long_fingerprint_is_cut_and_known_again():
    error = type("Long" * 100, (ValueError,), {})()
    was = failure(error=error)
    fields = repaired(was, "fixer", Pay(order="o2"), 999)
    assert len(fields[MENDED]) == len("fixer\t") + LONGEST
    assert route(wired(), failure(error=error, mended=fields[MENDED]), error).repair is None


def test_a_note_is_added_where_there_is_one():
    was = failure()
    assert noted(was, "") is was
    assert noted(was, "look").note == "look"
