"""The values that the bookstore's messages are made of. Each says, when it is refused, which rule it breaks.

Orders and addresses have a short text form too, for command lines:

    address="12 Rose Lane, 20095 Hamburg, DE"   lines="9780306406157*2@12.50, 9780141439518*1@9.99"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hybrid import Secret

_EMAIL = re.compile(
    r"(?=.{3,254}$)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}"
)
_ADDRESS = re.compile(
    r"\s*(?P<street>.+),\s*(?P<postcode>\S*\d\S*)\s+(?P<city>[^,]+),\s*(?P<country>[^,]+?)\s*"
)
_LINE = re.compile(r"\s*(?P<isbn>[0-9 -]+)\*(?P<quantity>-?\d+)@(?P<price>-?[0-9.]+)\s*")


def _shaped(pattern: str, rule: str) -> AfterValidator:
    """Return a validator that refuses text of another shape, and says which shape it takes."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"{rule}, got {text[:60]!r}")
        return text

    return AfterValidator(check)


def _isbn(text: str) -> str:
    """Return an ISBN without its hyphens. The digits, times 1 3 1 3 …, add up to a multiple of 10."""
    digits = text.replace("-", "").replace(" ", "")
    if not re.fullmatch(r"97[89]\d{10}", digits):
        raise ValueError(f"an ISBN has 13 digits and starts with 978 or 979, got {text[:60]!r}")
    rest = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits[:12])) % 10
    check = (10 - rest) % 10
    if int(digits[12]) != check:
        raise ValueError(f"the check digit of ISBN {text} is wrong: the last digit would be {check}")
    return digits


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text) or ".." in text or text.startswith(".") or ".@" in text:
        raise ValueError(f"an email address looks like name@example.org, got {text[:60]!r}")
    name, _, domain = text.rpartition("@")
    return f"{name}@{domain.lower()}"


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))


def _card(card: Secret[str]) -> Secret[str]:
    """Return a card without blanks. Its digits have the check digit of Luhn (ISO/IEC 7812-1)."""
    digits = card.get_secret_value().replace(" ", "").replace("-", "")
    if not re.fullmatch(r"\d{12,19}", digits):
        raise ValueError("a card number has 12 to 19 digits")
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    if sum(number // 10 + number % 10 for number in doubled) % 10:
        raise ValueError("the check digit of the card number is wrong: one digit is mistyped")
    return Secret[str](digits)


def _split(lines: Any) -> Any:
    return lines.split(",") if isinstance(lines, str) else lines


def _distinct(lines: list[Any]) -> list[Any]:
    isbns = [line.isbn for line in lines]
    for isbn in isbns:
        if isbns.count(isbn) > 1:
            raise ValueError(f"ISBN {isbn} stands in more than one line: add up its quantities")
    return lines


CustomerId = Annotated[
    str, _shaped(r"[a-z0-9][a-z0-9-]{0,39}", "a customer's id is 1 to 40 of a-z, 0-9 and -, as c-1042")
]
"""Who a customer is: what the shop's account has."""

OrderId = Annotated[str, _shaped(r"B(-[A-Z2-7]{4}){3}", "an order's id looks like B-7QKM-2XHT-AAB4")]
"""Given by the order placement."""

Isbn = Annotated[str, AfterValidator(_isbn)]
"""13 digits with a valid check digit; hyphens and blanks are dropped."""

Email = Annotated[str, AfterValidator(_email)]
"""name@domain, the domain in small letters."""

Card = Annotated[Secret[str], AfterValidator(_card)]
"""A card number: 12 to 19 digits with a valid check digit, never shown."""

Amount = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2), AfterValidator(_cents)]
"""Money, 0 or more, in the shop's currency (EUR), with two places."""

Price = Annotated[Decimal, Field(gt=0, le=100_000, max_digits=8, decimal_places=2), AfterValidator(_cents)]
"""Money for one copy, more than 0."""

Quantity = Annotated[int, Field(ge=1, le=10_000)]
"""A number of copies."""

Text = Annotated[str, Field(min_length=1, max_length=200)]
"""A line of text."""


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _from_text(pattern: re.Pattern[str], shape: str) -> Callable[[Any], Any]:
    """Return a function that reads the text form of a value, and leaves everything else as it is."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = pattern.fullmatch(value)
        if not found:
            raise ValueError(f"written as text it looks like {shape!r}, got {value[:60]!r}")
        return found.groupdict()

    return read


_read_address = _from_text(_ADDRESS, "12 Rose Lane, 20095 Hamburg, DE")
_read_line = _from_text(_LINE, "9780306406157*2@12.50")


class Address(_Value):
    """Where a parcel goes. Written as text: `12 Rose Lane, 20095 Hamburg, DE`."""

    street: Text
    postcode: Annotated[str, Field(min_length=2, max_length=12)]
    city: Text
    country: Annotated[str, _shaped(r"[A-Z]{2}", "a country is its two letters in ISO 3166-1, as DE")]

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return _read_address(value)

    def __str__(self) -> str:
        return f"{self.street}, {self.postcode} {self.city}, {self.country}"


class OrderLine(_Value):
    """So many copies of a book at a price. Written as text: `ISBN*quantity@price`."""

    isbn: Isbn
    quantity: Quantity
    price: Price
    title: Annotated[str, Field(max_length=200)] = ""

    @model_validator(mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return _read_line(value)

    @property
    def amount(self) -> Decimal:
        """What the line costs."""
        return self.price * self.quantity

    @property
    def books(self) -> Books:
        """The copies, without their price."""
        return Books(isbn=self.isbn, quantity=self.quantity)


class Books(_Value):
    """So many copies of a book."""

    isbn: Isbn
    quantity: Quantity


OrderLines = Annotated[
    list[OrderLine], BeforeValidator(_split), Field(min_length=1, max_length=50), AfterValidator(_distinct)
]
"""1 to 50 lines, each ISBN in one of them only."""

BookList = Annotated[list[Books], Field(max_length=50), AfterValidator(_distinct)]
"""Up to 50 books, each ISBN once."""
