"""Messages: names on the wire, keys, strictness, and errors that tell no secret."""

from decimal import Decimal
from typing import Generic, TypeVar

import pytest
from pydantic import BaseModel, Field, SecretStr, ValidationError

from hybrid.errors import ApplicationError
from hybrid.messages import Command, Event, Secret, invalid, kebab

T = TypeVar("T")

NAMES = {
    "OrderCreated": "order-created",
    "ApplyPayment": "apply-payment",
    "HTTPRequested": "http-requested",
    "Order2Created": "order2-created",
    "A": "a",
    "PDFMade": "pdf-made",
    "Snake_Case": "snake-case",
}


class Address(BaseModel):
    street: str
    lines: int = 0


class CardNumber(SecretStr):
    """A secret whose class does not say so."""


class PaymentAsked(Event, key="order_id", version=3):
    order_id: str
    amount: Decimal = Decimal(1)
    card: Secret[str] = Secret("1")
    cards: list[Secret[str]] = Field(default_factory=list)
    number: CardNumber = CardNumber("1")
    address: Address = Address(street="")
    alias: int = Field(0, alias="other")


@pytest.mark.parametrize(("name", "wire"), NAMES.items())
def test_kebab(name, wire):
    assert kebab(name) == wire


def test_the_class_line():
    assert (PaymentAsked.type_name, PaymentAsked.type_version, PaymentAsked.key_field) == (
        "payment-asked",
        3,
        "order_id",
    )
    assert PaymentAsked(order_id="7").message_key() == "7"


def test_defaults_of_the_class_line():
    class Ping(Command): ...

    assert (Ping.type_name, Ping.type_version, Ping.key_field, Ping().message_key()) == ("ping", 1, None, "")


def test_a_key_is_inherited_and_a_version_is_not():
    class Later(PaymentAsked): ...

    assert (Later.type_name, Later.key_field, Later.type_version) == ("later", "order_id", 1)


def test_a_key_that_is_no_field():
    with pytest.raises(ApplicationError, match="key='nope'"):

        class Odd(Event, key="nope"): ...


def test_generic_ones_are_named_without_their_parameters():
    class Box(Event, Generic[T]):
        item: T

    assert Box[int].type_name == "box"


def test_strict_at_the_door():
    with pytest.raises(ValidationError, match="Extra inputs"):
        PaymentAsked(order_id="7", nope=1)
    with pytest.raises(ValidationError, match="frozen"):
        PaymentAsked(order_id="7").amount = Decimal(2)
    assert PaymentAsked(order_id="7", alias=5) == PaymentAsked(order_id="7", other=5)


class TestErrors:
    def told(self, **values):
        with pytest.raises(ValidationError) as caught:
            PaymentAsked(**values)
        assert "geheim" not in str(caught.value)
        return str(invalid(PaymentAsked, caught.value))

    def test_plain_values_are_shown(self):
        assert (
            self.told(order_id=5)
            == "payment-asked is not valid: order_id: Input should be a valid string, got 5"
        )
        assert "amount: " in self.told(order_id="7", amount="much")

    def test_long_values_are_cut(self):
        assert len(self.told(order_id="7", amount="x" * 1000)) < 200

    def test_missing(self):
        assert self.told() == "payment-asked is not valid: order_id: Field required"

    @pytest.mark.parametrize(
        "values",
        [
            {"card": ["geheim"]},
            {"cards": ["x", ["geheim"]]},
            {"cards": "geheim"},
            {"nope": "geheim"},
            {"other": ["geheim"]},
            {"address": "geheim"},
        ],
    )
    def test_secrets_are_not(self, values):
        told = self.told(order_id="7", **values)
        assert "['geheim']" not in told
        assert "got" not in told

    def test_secrets_of_a_class_of_ones_own(self):
        assert "got" not in self.told(order_id="7", number=["geheim"])


def test_secrets_are_masked_when_shown():
    message = PaymentAsked(order_id="7", card="geheim", cards=["geheim"], number="geheim")
    for text in (repr(message), str(message), repr(message.__dict__), message.model_dump_json()):
        assert "geheim" not in text
