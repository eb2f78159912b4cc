"""Make the demo's initiating events and the answers that they must lead to: cli/demo_data/*.

    python tools/make_demo_data.py

The answers are computed from the events by plain arithmetic, without the bookstore's code. They hold whatever
the order in which the events are carried out, because of how the events are chosen (`check` makes sure):

- of most books there is more than all orders together want, refused ones included;
- of some there is none, so that whoever orders them is short of all copies;
- of each of a few (SCARCE) there are some, and exactly one order, with a good card, wants more than that;
- a customer has one address in all orders and moves at most once; a customer rates a book at most once;
- an order over 10,000, or with a purchase order, wants only books of which there is enough. What the manager,
  the bank and the customer do with it stands in people.json.
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
COMPLEX_OVER = Decimal(10_000)
LARGE = [7, 11, 9, 8]
"""Copies of the dear book in each order over 10,000."""
PEOPLE: list[dict[str, Any]] = [
    {"choice": "approve", "parts": 1},
    {"choice": "approve", "parts": 2},
    {"choice": "refuse", "note": "your last invoice is still open"},
    {"choice": "approve", "cancels": True},
    {"choice": "approve", "parts": 1},
]
"""What people do with each of these, and with the purchase order: what the manager says, and then in how many
parts the customer pays, or that the customer cancels.
"""

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


def baskets(dice: random.Random) -> list[tuple[list[Data], Data]]:
    """Return what is ordered, with what pays for it: declined, expensive, short and other orders, the complex
    ones in the order of PEOPLE.
    """
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
    found += [
        ([line(isbn, STOCK[isbn] + more), *some(2)], APPROVED[1]) for more, isbn in enumerate(scarce, 2)
    ]
    found += [([line(dice.choice(sold_out), dice.randint(1, 3)), *some(2)], APPROVED[2]) for _ in range(14)]
    found += [(some(), FLAKY) for _ in range(5)]
    found += [(some(), dice.choice(APPROVED)) for _ in range(ORDERS - len(found) - len(PEOPLE))]
    paid = [(lines, {"card": card}) for lines, card in found]
    large = [([line(dear, copies), *some(2)], {"card": APPROVED[0]}) for copies in LARGE]
    return [*paid, *large, (some(), {"purchase_order": "PO-2291"})]


def events(dice: random.Random) -> list[Data]:
    """Return the initiating events, in the order in which they are sent."""
    known = customers(dice)
    found = [
        {"type": "place-order", "data": {**dice.choice(known), **paid_by, "lines": lines}}
        for lines, paid_by in baskets(dice)
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


def is_complex(order: Data) -> bool:
    """Tell whether a manager is asked about an order."""
    return "purchase_order" in order or total(order) > COMPLEX_OVER


def total(order: Data) -> Decimal:
    """Return what an order costs."""
    return sum((PRICE[each["isbn"]] * each["quantity"] for each in order["lines"]), Decimal(0))


def people(sent: list[Data]) -> Data:
    """Return what people do, by the id of the order: the manager's `choice` and `note`; then what the
    customer `pays` (amounts), or whether the customer `cancels`, when the invoice has come.
    """
    found: Data = {}
    for event in sent:
        if event["type"] != "place-order" or not is_complex(order := event["data"]):
            continue
        deed = PEOPLE[-1 if "purchase_order" in order else LARGE.index(order["lines"][0]["quantity"])]
        parts, cents = deed.get("parts", 0), int(total(order) * 100)
        amounts = [cents // parts + (number < cents % parts) for number in range(parts)]
        found[event["id"]] = {
            "choice": deed["choice"],
            "note": deed.get("note", ""),
            "pays": [str(Decimal(amount).scaleb(-2)) for amount in amounts],
            "cancels": deed.get("cancels", False),
        }
    return found


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
        assert (stock > 0 and not scarce) or not any(map(is_complex, orders))


class Answers:
    """What a list of initiating events, and what people do, must lead to."""

    def __init__(self, sent: list[Data], deeds: Data) -> None:
        self.sent = dict(Counter(event["type"] for event in sent))
        self.moved = [event["data"] for event in sent if event["type"] == "address-changed"]
        self.rated = [event["data"] for event in sent if event["type"] == "review-rated"]
        orders = {event["id"]: event["data"] for event in sent if event["type"] == "place-order"}
        self.placed = list(orders.values())
        hard = [order for order in self.placed if not is_complex(order)]
        self.charged = [order for order in hard if order["card"] not in DECLINED]
        self.denied = [order for order in hard if order["card"] in DECLINED]
        self.invoiced = [orders[id] for id, deed in deeds.items() if deed["pays"]]
        self.refused = [orders[id] for id, deed in deeds.items() if deed["choice"] == "refuse"]
        self.cancelled = [orders[id] for id, deed in deeds.items() if deed["cancels"]]
        self.asked = len(deeds)
        self.payments = sum(len(deed["pays"]) for deed in deeds.values())
        self.good = self.charged + self.invoiced
        self.short = [order for order in self.placed if self.is_short(order)]
        self.bought = [order for order in self.short if order in self.good]
        self.flaky = sum(order["card"] == FLAKY for order in hard)

    @staticmethod
    def is_short(order: Data) -> bool:
        """Tell whether an order wants more than there is, or something that is sold out."""
        return any(each["quantity"] > STOCK[each["isbn"]] for each in order["lines"])

    @property
    def undone(self) -> int:
        """How many orders had their books put back."""
        return len(self.denied) + len(self.refused) + len(self.cancelled)

    def mails(self) -> dict[str, int]:
        """Return the mails by what they are about."""
        return {
            "order-received": len(self.placed),
            "payment-denied": len(self.denied),
            "what-happens-next": len(self.charged),
            "order-shipped": len(self.good),
            "invoice-sent": len(self.invoiced) + len(self.cancelled),
            "invoice-settled": len(self.invoiced),
            "order-refused": len(self.refused),
            "order-closed": len(self.refused) + len(self.cancelled),
        }

    def commands(self) -> dict[str, int]:
        """Return the commands by type."""
        good, charges = len(self.good), len(self.charged) + len(self.denied)
        return {
            "create-order": len(self.placed),
            "apply-payment": charges,
            "adjust-inventory": len(self.placed),
            "email-customer": sum(self.mails().values()),
            "refund-payment": len(self.denied),
            "release-stock": self.undone,
            "close-order": len(self.refused) + len(self.cancelled),
            "send-invoice": len(self.invoiced) + len(self.cancelled),
            "cancel-invoice": len(self.cancelled),
            "fulfill-order": good,
            "order-stock": good,
            "ship-order": good,
            "update-address": len(self.moved),
            "record-rating": len(self.rated),
        }

    def broadcasts(self) -> dict[str, int]:
        """Return the broadcasts by type."""
        good, short = len(self.good), len(self.short)
        return {
            "order-created": len(self.placed),
            "payment-applied": len(self.charged),
            "payment-denied": len(self.denied),
            "payment-refunded": len(self.denied),
            "inventory-updated": len(self.placed) - short,
            "inventory-backordered": short,
            "email-sent": sum(self.mails().values()),
            "stock-released": self.undone,
            "task-opened": self.asked,
            "task-closed": self.asked,
            "invoice-sent": len(self.invoiced) + len(self.cancelled),
            "invoice-paid": self.payments,
            "invoice-short": self.payments - len(self.invoiced),
            "invoice-settled": len(self.invoiced),
            "invoice-cancelled": len(self.cancelled),
            "order-fulfilled": good,
            "stock-replenished": len(self.bought),
            "order-shipped": good,
            "order-completed": good,
            "order-refused": len(self.denied) + len(self.refused),
            "order-cancelled": len(self.cancelled),
            "order-closed": len(self.refused) + len(self.cancelled),
            "points-added": len(self.charged),
            "address-updated": len(self.moved),
            "rating-recorded": len(self.rated),
        }

    def rows(self) -> dict[str, int]:
        """Return the rows of each table."""
        good, broadcasts = len(self.good), self.broadcasts()
        sold = sum(len(order["lines"]) for order in self.good)
        commands = self.commands()
        listened = sum(
            broadcasts[heard]
            for heard in (
                "payment-applied",
                "order-fulfilled",
                "order-completed",
                "order-refused",
                "stock-replenished",
                "invoice-paid",
                "task-opened",
            )
        )
        idle = good - len(self.bought)  # orders of stock with nothing short: no transaction
        return {
            "customers": len(self.countries()),
            "hybrid_inbox": sum(commands.values()) - idle + listened,
            "invoices": len(self.invoiced) + len(self.cancelled),
            "mails": commands["email-customer"] + self.asked,
            "order_lines": sum(len(order["lines"]) for order in self.placed),
            "orders": len(self.placed),
            "parcels": good,
            "payments": len(self.charged) + len(self.denied),
            "points": len(self.charged),
            "purchases": sum(
                each["quantity"] > STOCK[each["isbn"]] for order in self.bought for each in order["lines"]
            ),
            "ratings": len(self.rated),
            "releases": self.undone,
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
        sold = copies(self.good)
        missing = Counter({isbn: sold[isbn] - STOCK[isbn] for isbn in sold if sold[isbn] > STOCK[isbn]})
        stars: Counter[str] = Counter()
        for rating in self.rated:
            stars[rating["isbn"]] += rating["stars"]
        return {
            "orders": {
                "completed": len(self.good),
                "refused: payment denied": len(self.denied),
                "refused: not approved": len(self.refused),
                "cancelled": len(self.cancelled),
            },
            "payments": {
                "charged": len(self.charged),
                **Counter(f"denied: {DECLINED[order['card']]}" for order in self.denied),
            },
            "invoices": {"settled": len(self.invoiced), "cancelled": len(self.cancelled)},
            "mails": {**self.mails(), "task-opened": self.asked},
            "countries": dict(Counter(self.countries().values())),
            "stock": {isbn: max(0, stock - sold[isbn]) for isbn, stock in STOCK.items()},
            "purchased": dict(missing),
            "arrived": dict(missing),
            "sold": dict(sold),
            "stars": dict(stars),
        }

    def amounts(self) -> dict[str, str]:
        """Return the sums of money."""
        charged, invoiced = (
            sum(map(total, orders), Decimal("0.00")) for orders in (self.charged, self.invoiced)
        )
        both = str(charged + invoiced)
        return {"charged": str(charged), "invoiced": str(invoiced), "revenue": both, "completed": both}

    def all(self) -> Data:
        """Return the answers."""
        simple = len(self.moved) + len(self.rated) + self.payments + len(self.cancelled)
        return {
            "sent": self.sent,
            "outcomes": {
                "completed": len(self.good) + simple,
                "refused": len(self.denied) + len(self.refused),
                "cancelled": len(self.cancelled),
            },
            "commands": self.commands(),
            "broadcasts": self.broadcasts(),
            "retries": 2 * self.flaky,
            "database": {
                "rows": self.rows(),
                "counts": self.counts(),
                "totals": {
                    "points": sum(int(total(order)) for order in self.charged),
                    "copies": sum(copies(self.good).values()),
                },
                "amounts": self.amounts(),
            },
        }


def main() -> None:
    """Write the files."""
    sent = events(random.Random(1605))
    deeds = people(sent)
    answers = Answers(sent, deeds)
    check(answers.placed)
    TARGET.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(event, ensure_ascii=False) for event in sent]
    (TARGET / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, facts in (("people", deeds), ("expected", answers.all())):
        text = json.dumps(facts, ensure_ascii=False, indent=1, sort_keys=True)
        (TARGET / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
