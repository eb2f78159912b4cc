"""`hybrid new app`: it runs at once, and its test passes, in an empty directory."""

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import SHOP, Place


@pytest.fixture
def empty(still):
    """An empty directory, without settings."""
    (still.directory / f"{still.name}.py").unlink()
    still.env = {"HYBRID_REDIS_URL": "", "HYBRID_APP": ""}
    return still


def test_it_runs_at_once(empty: Place):
    said = empty.process("new", "app", "shop")
    assert said.code == 0
    assert "shop/mediators/hard.py" in said.out.split()
    empty.env["HYBRID_APP"] = "shop"
    with empty.running():
        sent = empty.process(
            "send", "order-placed", "order_id=o-1", "item=tea", "quantity=2", "price=3.50", "--wait"
        )
    assert sent.code == 0
    assert 'order-completed {"order_id": "o-1", "invoice": "INV-o-1"}' in sent.out
    assert empty.process("topology", "--json").out.count("invoice-sent") >= 2


def test_its_test_passes(empty: Place):
    empty.process("new", "app", "tea_house")
    env = {**os.environ, "PYTHONPATH": str(SHOP.parents[2]), "HYBRID_REDIS_URL": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tea_house"]
    done = subprocess.run(
        command, cwd=empty.directory, env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


@pytest.mark.parametrize(
    "name", ["", "1x", "A", "a-b", "../x", "class", "x" * 51, "json", "hybrid", "processors"]
)
def test_names_that_it_refuses(anywhere, tmp_path, name):
    said = anywhere("new", "app", name)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_it_writes_over_nothing(anywhere, tmp_path):
    (tmp_path / "shop").mkdir()
    said = anywhere("new", "app", "shop")
    assert said.code == 2
    assert "exists already" in said.err
