"""Messages are what components know of each other. An event is a fact; a command is an order."""

import pytest
from pydantic import ValidationError

from hybrid import Command, Event, Secret


class ApplyPayment(Command):
    order_id: str
    card: Secret[str]


class PaymentApplied(Event, key="order_id"):
    order_id: str


def test_a_message_is_known_by_the_name_of_its_class():
    assert PaymentApplied.type_name == "payment-applied"


def test_a_message_is_checked_when_it_is_made():
    with pytest.raises(ValidationError, match="order_id"):
        PaymentApplied(order_id=12)
    with pytest.raises(ValidationError, match="receipt"):
        PaymentApplied(order_id="o1", receipt="there is no such field")


def test_a_message_does_not_change():
    paid = PaymentApplied(order_id="o1")
    with pytest.raises(ValidationError, match="frozen"):
        paid.order_id = "o2"


def test_an_event_may_have_a_key():
    assert PaymentApplied(order_id="o1").message_key() == "o1"


def test_secrets_are_not_shown():
    command = ApplyPayment(order_id="o1", card="4242 4242 4242 4242")
    assert "4242" not in repr(command)
    assert command.card.get_secret_value() == "4242 4242 4242 4242"
