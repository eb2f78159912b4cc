"""The world of a test: its own store on the session's server."""

from typing import Any

import pytest

from hybrid import Settings
from tests.runtime.world import World


@pytest.fixture
def world(fresh: str, settings: Settings, raw: Any) -> World:
    """The world of this test."""
    return World(fresh, settings, raw)
