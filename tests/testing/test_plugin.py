"""The plugin for pytest, in runs of pytest of their own."""

import os
import re
import subprocess
import sys
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST = """
    order = await bed.send(Ordered(order="o1"))
    await bed.skip(hours=12)
    assert bed.event(Shipped) == Shipped(order="o1")
"""
HEAD = "from tests.testing.shop import Ordered, Shipped, app as shop\n"
NO_ASYNCIO = ("-p", "no:asyncio", "-p", "no:anyio")


@pytest.fixture
def pytester(tmp_path, url):
    """Runs pytest on a test file (and a conftest.py); returns its output."""

    def run(text, *words, conftest="", ini="", **env):
        (tmp_path / "test_it.py").write_text(HEAD + text)
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:valkey", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "HYBRID_TEST_REDIS_URL": url} | env,
            capture_output=True,
            text=True,
            timeout=50,
        )
        return done.stdout

    return run


def outcomes(said):
    """Return how often what came of the tests."""
    last = said.splitlines()[-1]
    return Counter({word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", last)})


def test_it_is_installed():
    (found,) = (point for point in entry_points(group="pytest11") if point.name == "hybrid")
    assert found.value == "hybrid.testing.plugin"


@pytest.mark.parametrize(
    ("words", "ini"), [(NO_ASYNCIO, ""), ((), "asyncio_mode = auto"), ((), "asyncio_mode = strict")]
)
def test_it_goes_along_with_plugins_for_asyncio_or_none(pytester, words, ini):
    text = (
        f"async def test_one(bed):{TEST}\n"
        "class TestIt:\n    async def test_two(self, tmp_path, bed):\n        assert tmp_path.is_dir()\n"
    )
    said = pytester(text, *words, ini=f"{ini}\nhybrid_app = tests.testing.shop:app")
    assert outcomes(said) == {"passed": 2}, said


def test_the_application_is_found_as_the_command_line_does(pytester):
    said = pytester(f"async def test_one(bed):{TEST}", HYBRID_APP="tests.testing.shop")
    assert outcomes(said) == {"passed": 1}, said
    said = pytester("async def test_one(bed): pass", HYBRID_APP="nowhere")
    assert "no application 'nowhere'" in said
    assert outcomes(said) == {"error": 1}, said


def test_the_application_is_a_fixture_to_be_overridden(pytester):
    fixture = (
        "import pytest\n@pytest.fixture\ndef app():\n    from tests.testing.shop import app\n    return app\n"
    )
    said = pytester(f"async def test_one(bed):{TEST}", conftest=fixture)
    assert outcomes(said) == {"passed": 1}, said


def test_a_test_that_is_no_coroutine_is_told(pytester):
    said = pytester("def test_one(bed): pass", ini="hybrid_app = tests.testing.shop:app")
    assert "test_one uses the fixture `bed`: write it as `async def`" in said
    assert outcomes(said) == {"failed": 1}


def test_a_test_that_fails_leaves_nothing_behind_and_the_next_one_runs(pytester, raw):
    text = (
        "async def test_one(bed):\n    await bed.send(Ordered(order='o1'))\n    assert bed.events() == [1]\n"
        f"async def test_two(bed):{TEST}"
    )
    said = pytester(text, *NO_ASYNCIO, ini="hybrid_app = tests.testing.shop:app")
    assert outcomes(said) == {"passed": 1, "failed": 1}, said
    assert "assert [] == [1]" in said
    assert "plugin.py" not in said
    assert list(raw.scan_iter("{shop.test-*")) == []


def test_without_an_address_the_server_is_one_of_its_own(pytester):
    said = pytester(
        f"async def test_one(bed):{TEST}    assert bed.settings.redis_url.startswith('unix://')\n"
        "    print(bed.settings.redis_url[7:])\n",
        "-s",
        ini="hybrid_app = tests.testing.shop:app",
        HYBRID_TEST_REDIS_URL="",
        HYBRID_REDIS_URL="redis://nowhere:1",
    )
    assert outcomes(said) == {"passed": 1}, said
    socket = Path(re.search(r"^(?:test_it.py )?(/\S+)$", said, re.MULTILINE)[1])
    assert not socket.exists()
