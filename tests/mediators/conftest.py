"""The bookstore, running; also one in which time can be skipped."""

from collections.abc import AsyncIterator

import pytest

from hybrid.discovery import load
from hybrid.testing import TestBed
from tests.processors.conftest import Shop, desk, shop

__all__ = ["Shop", "desk", "shop"]


@pytest.fixture
async def bed(server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestBed]:
    """The bookstore, in which time can be skipped."""
    monkeypatch.setenv("HYBRID_TEST_REDIS_URL", server)
    async with TestBed(load("bookstore")) as bed:
        yield bed
