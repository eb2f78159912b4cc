"""The world of a test: its own store on the session's server."""

from collections.abc import Iterator
from typing import Any

import pytest

from hybrid import Settings
from tests.runtime.world import World


@pytest.fixture
def world(fresh: str, settings: Settings, raw: Any) -> Iterator[World]:
    """The world of this test. In the end each unfinished flow is counted on its version."""
    world = World(fresh, settings, raw)
    yield world
    world.check_versions()
