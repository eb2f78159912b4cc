"""What happened in the shop, by its database: for the demo and for tests, to compare with what should."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from hybrid import Settings
from processors.database import open_to_read

TABLES = (
    "customers",
    "hybrid_inbox",
    "invoices",
    "mails",
    "order_lines",
    "orders",
    "parcels",
    "payments",
    "points",
    "purchases",
    "ratings",
    "releases",
    "reservations",
    "sales",
    "shipments",
    "stock",
)

COUNTS = {
    "orders": "SELECT state || coalesce(': ' || reason, ''), count(*) FROM orders GROUP BY 1",
    "payments": "SELECT state || coalesce(': ' || reason, ''), count(*) FROM payments GROUP BY 1",
    "invoices": "SELECT state, count(*) FROM invoices GROUP BY 1",
    "mails": "SELECT about, count(*) FROM mails GROUP BY 1",
    "countries": "SELECT country, count(*) FROM customers GROUP BY 1",
    "stock": "SELECT isbn, on_hand FROM stock",
    "purchased": "SELECT isbn, sum(quantity) FROM purchases GROUP BY 1",
    "arrived": "SELECT isbn, sum(arrived) FROM reservations WHERE arrived > 0 GROUP BY 1",
    "sold": "SELECT isbn, sum(copies) FROM sales GROUP BY 1",
    "stars": "SELECT isbn, sum(stars) FROM ratings GROUP BY 1",
}
"""Figures by name, each a query for (what, how many)."""

TOTALS = {
    "points": "SELECT sum(points) FROM points",
    "copies": "SELECT sum(books) FROM parcels",
}
CENTS = {
    "charged": "SELECT sum(amount) FROM payments WHERE state = 'charged'",
    "invoiced": "SELECT sum(received) FROM invoices",
    "revenue": "SELECT sum(revenue) FROM sales",
    "completed": "SELECT sum(total) FROM orders WHERE state = 'completed'",
}


def summary(settings: Settings) -> dict[str, Any]:
    """Return the rows of each table and figures that can be computed from the orders alone; amounts as text.

    All are of one moment. It reads only. Raises ApplicationError when there is no database yet.
    """
    engine = open_to_read(settings)
    try:
        with engine.connect() as connection:
            return {
                "rows": {table: _total(connection, f"SELECT count(*) FROM {table}") for table in TABLES},
                "counts": {name: _counts(connection, query) for name, query in COUNTS.items()},
                "totals": {name: _total(connection, query) for name, query in TOTALS.items()},
                "amounts": {name: _amount(connection, query) for name, query in CENTS.items()},
            }
    finally:
        engine.dispose()


def _counts(connection: Connection, query: str) -> dict[str, int]:
    return {what: int(number) for what, number in connection.execute(text(query))}


def _total(connection: Connection, query: str) -> int:
    return int(connection.execute(text(query)).scalar_one() or 0)


def _amount(connection: Connection, query: str) -> str:
    return str(Decimal(_total(connection, query)).scaleb(-2))
