"""What each of these tests starts from: a Redis server, and a name for its application."""

from collections.abc import Callable
from typing import Any

import pytest

from hybrid import App, Settings


@pytest.fixture
def make_app(fresh: str, settings: Settings) -> Callable[..., App]:
    """Makes an application of components, on a store of its own."""

    def make(*components: Any, **options: Any) -> App:
        return App(fresh, components, settings=settings, **options)

    return make
