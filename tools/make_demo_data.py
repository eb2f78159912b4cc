"""Make the demo's initiating events and the answers that they must lead to: cli/demo_data/*.

    python tools/make_demo_data.py

The answers are computed from the events by plain arithmetic, without the bookstore's code. They hold whatever
the order in which the events are carried out, because of how the events are chosen (`check` makes sure):

- of most books there is more than all orders together want, refused ones included;
- of some there is none, so that whoever orders them is short of all copies;
- of each of a few (SCARCE) there are some, and exactly one order, with a good card, wants more than that;
- a customer has one address in all orders and moves at most once; a customer rates a book at most once.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BOOKS = json.loads((ROOT / "processors/books.json").read_text(encoding="utf-8"))
TARGET = ROOT / "cli/demo_data"
PRICE = {book["isbn"]: Decimal(book["price"]) for book in BOOKS}
STOCK = {book["isbn"]: book["stock"] for book in BOOKS}

ORDERS, MOVES, RATINGS, CUSTOMERS = 240, 40, 20, 80
APPROVED = ["4242424242424242", "5555555555554444", "378282246310005", "6011111111111117"]
DECLINED = {
    "4000000000000002": "card declined",
    "4000000000009995": "insufficient funds",
    "4000000000009987": "lost card",
    "4000000000000069": "expired card",
}
FLAKY = "4000000000000119"

FIRST = ("Ada", "Boris", "Chiara", "Dunja", "Emil", "Farah", "Goran", "Hedda", "Ivo", "Jana", "Kofi", "Lena")
LAST = ("Abel", "Brandt", "Costa", "Dietz", "Eklund", "Fischer", "Gruber", "Hansen", "Ito", "Jensen")
CITIES = [
    ("DE", "20095", "Hamburg"),
    ("DE", "10115", "Berlin"),
    ("DE", "80331", "München"),
    ("DE", "50667", "Köln"),
    ("AT", "1010", "Wien"),
    ("CH", "8001", "Zürich"),
    ("FR", "75001", "Paris"),
    ("NL", "1012", "Amsterdam"),
    ("GB", "EC1A", "London"),
    ("US", "02108", "Boston"),
]
STREETS = ("Rose Lane", "Mill Road", "Am Markt", "Gartenweg", "Rue du Port", "Canal Street", "Hafenstraße")

Data = dict[str, Any]


def address(dice: random.Random) -> Data:
    """Return an address."""
    country, postcode, city = dice.choice(CITIES)
    street = f"{dice.randint(1, 99)} {dice.choice(STREETS)}"
    return {"street": street, "postcode": postcode, "city": city, "country": country}


def customers(dice: random.Random) -> list[Data]:
    """Return the customers."""
    found = []
    for number in range(CUSTOMERS):
        first, last = FIRST[number % len(FIRST)], LAST[number % len(LAST)]
        email = f"{first}.{last}{number}@example.org".lower()
        found.append(
            {
                "customer_id": f"c-{1000 + number}",
                "name": f"{first} {last}",
                "email": email,
                "address": address(dice),
            }
        )
    return found


def line(isbn: str, quantity: int) -> Data:
    """Return an order line."""
    title = next(book["title"] for book in BOOKS if book["isbn"] == isbn)
    return {"isbn": isbn, "quantity": quantity, "price": str(PRICE[isbn]), "title": title}


def baskets(dice: random.Random) -> list[tuple[list[Data], str]]:
    """Return what is ordered, with the card that pays for it: declined, expensive, short and other orders."""
    sold_out = [isbn for isbn, stock in STOCK.items() if stock == 0]
    scarce = [isbn for isbn, stock in STOCK.items() if 0 < stock < 10]
    dear = next(isbn for isbn, price in PRICE.items() if price > 1000)
    plenty = [isbn for isbn in STOCK if isbn not in (*sold_out, *scarce, dear)]

    def some(most: int = 4) -> list[Data]:
        picked = dice.sample(plenty, dice.choice([1, 1, 1, 2, 2, 3, most]))
        return [line(isbn, dice.choice([1, 1, 1, 1, 2, 2, 3, 8])) for isbn in picked]

    bad = list(DECLINED)
    found = [(some(), bad[number % len(bad)]) for number in range(19)]
    found.append(([line(sold_out[0], 2), *some(2)], bad[0]))
    found += [([line(dear, copies), *some(2)], APPROVED[0]) for copies in (7, 11)]
    found += [
        ([line(isbn, STOCK[isbn] + more), *some(2)], APPROVED[1]) for more, isbn in enumerate(scarce, 2)
    ]
    found += [([line(dice.choice(sold_out), dice.randint(1, 3)), *some(2)], APPROVED[2]) for _ in range(14)]
    found += [(some(), FLAKY) for _ in range(5)]
    found += [(some(), dice.choice(APPROVED)) for _ in range(ORDERS - len(found))]
    return found


def events(dice: random.Random) -> list[Data]:
    """Return the initiating events, in the order in which they are sent."""
    known = customers(dice)
    found = [
        {"type": "place-order", "data": {**dice.choice(known), "card": card, "lines": lines}}
        for lines, card in baskets(dice)
    ]
    movers = [each["customer_id"] for each in dice.sample(known, MOVES - 4)] + [
        f"c-{n}" for n in range(2000, 2004)
    ]
    found += [
        {"type": "address-changed", "data": {"customer_id": who, "address": address(dice)}} for who in movers
    ]
    pairs = dice.sample([(each["customer_id"], isbn) for each in known for isbn in STOCK], RATINGS)
    found += [
        {"type": "review-rated", "data": {"customer_id": who, "isbn": isbn, "stars": dice.randint(1, 5)}}
        for who, isbn in pairs
    ]
    dice.shuffle(found)
    return [
        {"type": event["type"], "id": f"demo-{number:03d}", "data": event["data"]}
        for number, event in enumerate(found, 1)
    ]


def copies(orders: list[Data]) -> Counter[str]:
    """Return the copies of each book in these orders."""
    found: Counter[str] = Counter()
    for order in orders:
        for each in order["lines"]:
            found[each["isbn"]] += each["quantity"]
    return found


def check(placed: list[Data]) -> None:
    """Make sure that no answer depends on the order in which the events are carried out."""
    wanted = copies(placed)
    for isbn, stock in STOCK.items():
        orders = [order for order in placed if any(each["isbn"] == isbn for each in order["lines"])]
        scarce = 0 < stock < 10
        assert stock == 0 or scarce or wanted[isbn] <= stock, f"{isbn}: {wanted[isbn]} wanted, {stock} there"
        assert not scarce or (len(orders) == 1 and orders[0]["card"] not in DECLINED and wanted[isbn] > stock)


class Answers:
    """What a list of initiating events must lead to."""

    def __init__(self, sent: list[Data]) -> None:
        by_type = Counter(event["type"] for event in sent)
        self.sent = dict(by_type)
        self.placed = [event["data"] for event in sent if event["type"] == "place-order"]
        self.moved = [event["data"] for event in sent if event["type"] == "address-changed"]
        self.rated = [event["data"] for event in sent if event["type"] == "review-rated"]
        self.good = [order for order in self.placed if order["card"] not in DECLINED]
        self.bad = [order for order in self.placed if order["card"] in DECLINED]
        self.short = [order for order in self.placed if self.is_short(order)]
        self.bought = [order for order in self.short if order in self.good]
        self.flaky = sum(order["card"] == FLAKY for order in self.placed)

    @staticmethod
    def is_short(order: Data) -> bool:
        """Tell whether an order wants more than there is, or something that is sold out."""
        return any(each["quantity"] > STOCK[each["isbn"]] for each in order["lines"])

    @staticmethod
    def total(order: Data) -> Decimal:
        """Return what an order costs."""
        return sum((PRICE[each["isbn"]] * each["quantity"] for each in order["lines"]), Decimal(0))

    def commands(self) -> dict[str, int]:
        """Return the commands by type."""
        good, bad = len(self.good), len(self.bad)
        return {
            "create-order": good + bad,
            "apply-payment": good + bad,
            "adjust-inventory": good + bad,
            "email-customer": 3 * good + 2 * bad,
            "refund-payment": bad,
            "release-stock": bad,
            "fulfill-order": good,
            "order-stock": good,
            "ship-order": good,
            "update-address": len(self.moved),
            "record-rating": len(self.rated),
        }

    def broadcasts(self) -> dict[str, int]:
        """Return the broadcasts by type."""
        good, bad, short = len(self.good), len(self.bad), len(self.short)
        return {
            "order-created": good + bad,
            "payment-applied": good,
            "payment-denied": bad,
            "payment-refunded": bad,
            "inventory-updated": good + bad - short,
            "inventory-backordered": short,
            "email-sent": 3 * good + 2 * bad,
            "stock-released": bad,
            "order-fulfilled": good,
            "stock-replenished": len(self.bought),
            "order-shipped": good,
            "order-completed": good,
            "order-refused": bad,
            "points-added": good,
            "address-updated": len(self.moved),
            "rating-recorded": len(self.rated),
        }

    def rows(self) -> dict[str, int]:
        """Return the rows of each table."""
        good, bad = len(self.good), len(self.bad)
        lines = sum(len(order["lines"]) for order in self.placed)
        sold = sum(len(order["lines"]) for order in self.good)
        commands = self.commands()
        listened = good + good + good + bad + len(self.bought)  # loyalty, analytics, ends of orders, arrivals
        handled = (
            sum(commands.values()) - (good - len(self.bought)) + listened
        )  # nothing short: no transaction
        return {
            "customers": len(self.countries()),
            "hybrid_inbox": handled,
            "invoices": 0,
            "mails": commands["email-customer"],
            "order_lines": lines,
            "orders": good + bad,
            "parcels": good,
            "payments": good + bad,
            "points": good,
            "purchases": sum(
                each["quantity"] > STOCK[each["isbn"]] for order in self.bought for each in order["lines"]
            ),
            "ratings": len(self.rated),
            "releases": bad,
            "reservations": sold,
            "sales": sold,
            "shipments": good,
            "stock": len(STOCK),
        }

    def countries(self) -> dict[str, str]:
        """Return the country of each customer, in the end."""
        homes = {order["customer_id"]: order["address"]["country"] for order in self.placed}
        return homes | {move["customer_id"]: move["address"]["country"] for move in self.moved}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the figures by what they count."""
        good, bad = len(self.good), len(self.bad)
        sold = copies(self.good)
        missing = Counter({isbn: sold[isbn] - STOCK[isbn] for isbn in sold if sold[isbn] > STOCK[isbn]})
        stars: Counter[str] = Counter()
        for rating in self.rated:
            stars[rating["isbn"]] += rating["stars"]
        denied = Counter(f"denied: {DECLINED[order['card']]}" for order in self.bad)
        return {
            "orders": {"completed": good, "refused: payment denied": bad},
            "payments": {"charged": good, **denied},
            "mails": {
                "order-received": good + bad,
                "payment-denied": bad,
                "what-happens-next": good,
                "order-shipped": good,
            },
            "invoices": {},
            "countries": dict(Counter(self.countries().values())),
            "stock": {isbn: max(0, stock - sold[isbn]) for isbn, stock in STOCK.items()},
            "purchased": dict(missing),
            "arrived": dict(missing),
            "sold": dict(sold),
            "stars": dict(stars),
        }

    def all(self) -> Data:
        """Return the answers."""
        charged = str(sum(map(self.total, self.good), Decimal("0.00")))
        points = sum(int(self.total(order)) for order in self.good)
        return {
            "sent": self.sent,
            "outcomes": {
                "completed": len(self.good) + len(self.moved) + len(self.rated),
                "refused": len(self.bad),
            },
            "commands": self.commands(),
            "broadcasts": self.broadcasts(),
            "retries": 2 * self.flaky,
            "database": {
                "rows": self.rows(),
                "counts": self.counts(),
                "totals": {"points": points, "copies": sum(copies(self.good).values())},
                "amounts": {"charged": charged, "invoiced": "0.00", "revenue": charged, "completed": charged},
            },
        }


def main() -> None:
    """Write the files."""
    sent = events(random.Random(1605))
    answers = Answers(sent)
    check(answers.placed)
    TARGET.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(event, ensure_ascii=False) for event in sent]
    (TARGET / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    expected = json.dumps(answers.all(), ensure_ascii=False, indent=1, sort_keys=True)
    (TARGET / "expected.json").write_text(expected + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
