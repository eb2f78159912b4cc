"""Cards are charged once, whatever happens."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from hybrid.transactions import Replied
from processors.messages.payment import (
    ApplyPayment,
    PaymentApplied,
    PaymentDenied,
    PaymentRefunded,
    RefundPayment,
)
from processors.payment import Payment, ProcessingError, apply_payment, refund_payment
from tests.processors.shop import APPROVED, DECLINED, FLAKY, POOR

ORDER = "B-AAAA-BBBB-CCCC"
REFUND = RefundPayment(order_id=ORDER, customer_id="c-1")


def charge(card=APPROVED):
    return ApplyPayment(order_id=ORDER, customer_id="c-1", amount="34.48", card=card)


def charged(desk):
    with desk.rows() as session:
        return session.execute(select(func.count(), func.sum(Payment.amount))).one()


def test_a_good_card_is_charged(desk):
    reply = desk.call(apply_payment, charge(), "m1")
    assert isinstance(reply, PaymentApplied)
    assert reply.amount == Decimal("34.48")
    with desk.rows() as session:
        row = session.get_one(Payment, ORDER)
        assert (row.state, row.card, row.amount) == ("charged", "4242", Decimal("34.48"))


@pytest.mark.parametrize(("card", "reason"), [(DECLINED, "card declined"), (POOR, "insufficient funds")])
def test_a_bad_card_is_not(desk, card, reason):
    reply = desk.call(apply_payment, charge(card), "m1")
    assert reply == PaymentDenied(order_id=ORDER, customer_id="c-1", reason=reason)


def test_the_same_message_again_ends_with_the_stored_reply(desk):
    desk.call(apply_payment, charge(), "m1")
    with pytest.raises(Replied):
        desk.call(apply_payment, charge(), "m1")
    assert charged(desk) == (1, Decimal("34.48"))


def test_the_same_message_twice_at_once_is_one_charge(desk):
    with ThreadPoolExecutor(2) as both:
        futures = [both.submit(desk.call, apply_payment, charge(), "m1") for _ in range(2)]
    errors = [future.exception() for future in futures]
    assert sorted(type(error).__name__ for error in errors) == ["NoneType", "Replied"]
    assert charged(desk) == (1, Decimal("34.48"))


def test_another_message_for_the_same_order_gets_the_same_receipt(desk):
    first, second = desk.call(apply_payment, charge(), "m1"), desk.call(apply_payment, charge(), "m2")
    assert first == second
    assert charged(desk) == (1, Decimal("34.48"))


def test_a_bank_that_does_not_answer_leaves_nothing_behind(desk):
    for attempt in (1, 2):
        with pytest.raises(ProcessingError):
            desk.call(apply_payment, charge(FLAKY), "m1", attempt=attempt)
        assert charged(desk) == (0, None)
    assert isinstance(desk.call(apply_payment, charge(FLAKY), "m1", attempt=3), PaymentApplied)


def test_a_refund_gives_the_money_back_once(desk):
    desk.call(apply_payment, charge(), "m1")
    assert desk.call(refund_payment, REFUND, "m2").amount == Decimal("34.48")
    assert isinstance(desk.call(apply_payment, charge(), "m3"), PaymentDenied)


def test_a_later_run_charges_anew_what_was_given_back(desk):
    first = desk.call(apply_payment, charge(), "m1")
    desk.call(refund_payment, REFUND, "m2")
    assert isinstance(desk.call(apply_payment, charge(), "m3", run=1), PaymentDenied)
    again = desk.call(apply_payment, charge(), "m4", run=2)
    assert isinstance(again, PaymentApplied)
    assert again.receipt != first.receipt
    assert desk.call(apply_payment, charge(), "m5", run=3) == again
    assert charged(desk) == (1, Decimal("34.48"))


def test_a_charge_that_comes_after_its_refund_is_denied(desk):
    reply = desk.call(refund_payment, REFUND, "m1")
    assert reply == PaymentRefunded(order_id=ORDER, customer_id="c-1", amount="0.00")
    assert desk.call(apply_payment, charge(), "m2").reason == "cancelled"
