"""A data directory, and users that leave it at the end."""

from contextlib import ExitStack

import pytest

from hybrid.server import open_embedded
from hybrid.server.home import Home
from tests.server.programs import User


@pytest.fixture
def home(tmp_path):
    return Home.prepare(tmp_path / "data")


@pytest.fixture
def leave():
    """Users and leases registered here leave at the end, also of a test that fails."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def lease(home, leave):
    return leave.enter_context(open_embedded(home.directory))


@pytest.fixture
def user(home, leave):
    def start():
        user = User(home.directory)
        leave.callback(user.kill9)
        return user

    return start
