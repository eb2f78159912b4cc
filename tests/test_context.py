"""The context of one delivery."""

import logging

import pytest

from hybrid import Context
from hybrid.envelope import Envelope
from hybrid.errors import ApplicationError, HandlerError
from tests.runtime.messages import Noted, Pay

ENVELOPE = Envelope("id-1", "pay", attempt=2)


def test_it_knows_the_delivery():
    context = Context(ENVELOPE, "payment.pay")
    assert (context.envelope, context.attempt, context.handler) == (ENVELOPE, 2, "payment.pay")
    assert context.logger is logging.getLogger("hybrid.handler.payment.pay")


def test_it_keeps_what_is_published():
    context = Context(ENVELOPE, "payment.pay")
    context.publish(Noted(text="a"))
    context.publish(Noted(text="b"))
    assert context.published == [Noted(text="a"), Noted(text="b")]
    with pytest.raises(HandlerError, match=r"payment.pay published a Pay: only events are broadcast"):
        context.publish(Pay(order="o1"))


def test_a_transaction_comes_from_a_resource():
    context = Context(ENVELOPE, "payment.pay", lambda given: ("transaction of", given))
    assert context.transaction() == ("transaction of", context)
    with pytest.raises(ApplicationError, match="no resource gives a hybrid.inbox.Database"):
        Context(ENVELOPE, "payment.pay").transaction()
