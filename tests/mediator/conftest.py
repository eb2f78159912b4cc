"""The world of a test: its own store on the session's server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hybrid import App, Settings
from hybrid.testing import TestBed
from tests.runtime.world import World


@pytest.fixture
def world(fresh: str, settings: Settings, raw: Any) -> Iterator[World]:
    """The world of this test. In the end each unfinished flow is counted on its version."""
    world = World(fresh, settings, raw)
    yield world
    world.check_versions()


@pytest.fixture
def bed_of(fresh: str, url: str) -> Callable[..., TestBed]:
    """Make a test bed of components, to be opened; no key may be left of it."""
    return lambda *components: TestBed(App(fresh, components), redis_url=url)
