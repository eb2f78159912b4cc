"""What is paid on an invoice is on the books once; what is beyond it goes back."""

from decimal import Decimal

import pytest

from hybrid.transactions import Replied
from processors.invoicing import Invoice, NoInvoice, cancel_invoice, send_invoice, take_payment
from processors.messages.invoices import (
    CancelInvoice,
    InvoiceCancelled,
    InvoicePaid,
    InvoiceSettled,
    InvoiceShort,
    MoneyReturned,
    SendInvoice,
)

ORDER = "B-AAAA-BBBB-CCCC"
IDS = {"order_id": ORDER, "customer_id": "c-1"}
CANCEL = CancelInvoice(**IDS)


class Office:
    """The invoicing, on a desk; it notes what goes back."""

    def __init__(self, desk):
        self.desk, self.number, self.published = desk, 0, []

    def call(self, handler, message, id=""):
        self.number += 1
        reply = self.desk.call(handler, message, id or f"m{self.number}")
        self.published += self.desk.published
        return reply

    def send(self, amount="16314.40"):
        return self.call(send_invoice, SendInvoice(**IDS, amount=amount, purchase_order="PO-7"))

    def paid(self, amount, id=""):
        return self.call(take_payment, InvoicePaid(order_id=ORDER, amount=amount), id)

    def row(self):
        with self.desk.rows() as session:
            row = session.get_one(Invoice, ORDER)
            return row.state, row.received


@pytest.fixture
def office(desk):
    return Office(desk)


def test_an_order_has_one_invoice(office):
    first, second = office.send(), office.send()
    assert first == second
    assert (first.amount, first.open) == (Decimal("16314.40"), Decimal("16314.40"))
    assert office.row() == ("sent", 0)


def test_it_is_settled_when_all_of_it_has_come(office):
    office.send()
    assert office.paid("16314.40") == InvoiceSettled(**IDS, amount="16314.40")
    assert office.row() == ("settled", Decimal("16314.40"))
    assert office.send().open == 0
    assert office.published == []


def test_it_may_be_paid_in_parts(office):
    office.send()
    assert office.paid("16000.00") == InvoiceShort(**IDS, received="16000.00", open="314.40")
    assert isinstance(office.paid("314.39"), InvoiceShort)
    assert isinstance(office.paid("0.01"), InvoiceSettled)


def test_what_the_bank_tells_twice_counts_once(office):
    office.send()
    office.paid("10.00", "transfer-1")
    with pytest.raises(Replied):
        office.paid("10.00", "transfer-1")
    assert office.row() == ("sent", Decimal("10.00"))


def test_what_is_too_much_goes_back(office):
    office.send()
    assert isinstance(office.paid("16320.00"), InvoiceSettled)
    assert office.published == [MoneyReturned(**IDS, amount="5.60")]
    assert office.paid("1.00") is None
    assert office.published[1:] == [MoneyReturned(**IDS, amount="1.00")]
    assert office.row() == ("settled", Decimal("16314.40"))


@pytest.mark.parametrize("paid", ["16314.40", "1.00"])
def test_a_cancelled_one_is_given_back_once(office, paid):
    office.send()
    office.paid(paid)
    assert office.call(cancel_invoice, CANCEL) == InvoiceCancelled(**IDS, amount=paid)
    assert office.call(cancel_invoice, CANCEL) == InvoiceCancelled(**IDS, amount="0.00")
    assert office.row() == ("cancelled", 0)
    assert office.paid("7.00") is None
    assert office.published == [MoneyReturned(**IDS, amount="7.00")]


def test_one_that_was_never_made_out_can_be_cancelled(office):
    assert office.call(cancel_invoice, CANCEL).amount == 0


def test_a_cancelled_one_is_good_again_when_the_order_is_carried_out_anew(office):
    office.send()
    office.call(cancel_invoice, CANCEL)
    assert office.send().open == Decimal("16314.40")
    assert isinstance(office.paid("16314.40"), InvoiceSettled)


def test_money_for_nothing_is_for_a_person(office):
    with pytest.raises(
        NoInvoice, match=r"EUR 1,200\.00 came in for order B-AAAA-BBBB-CCCC, which has no inv"
    ):
        office.paid("1200.00")
