"""The bookstore, running."""

from tests.processors.conftest import Shop, desk, shop

__all__ = ["Shop", "desk", "shop"]
