"""The bookstore, running; with the fixture `bed` one in which time can be skipped."""

import pytest

from hybrid import App
from hybrid.discovery import load
from tests.processors.conftest import Shop, desk, shop

__all__ = ["Shop", "desk", "shop"]


@pytest.fixture
def app(server: str, monkeypatch: pytest.MonkeyPatch) -> App:
    """The bookstore, for a test bed on the session's server."""
    monkeypatch.setenv("HYBRID_TEST_REDIS_URL", server)
    return load("bookstore")
