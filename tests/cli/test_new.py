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


def run_pytest(empty: Place, *paths: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(SHOP.parents[2]), "HYBRID_REDIS_URL": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths]
    return subprocess.run(
        command, cwd=empty.directory, env=env, capture_output=True, text=True, timeout=50, check=False
    )


def test_a_subscriber_in_an_application_of_ones_own(empty: Place):
    empty.process("new", "app", "shop")
    empty.env["HYBRID_APP"] = "shop"
    said = empty.process("new", "subscriber", "tax-office", "--on", "invoice-sent", "--on", "OrderCompleted")
    assert said.out.split() == ["shop/processors/tax_office.py", "shop/processors/test_tax_office.py"]
    assert "tax-office" in empty.process("topology").out
    done = run_pytest(empty, "shop/processors/test_tax_office.py")
    assert "1 passed" in done.stdout, done.stdout


def test_a_subscriber_beside_the_bookstore(empty: Place):
    empty.env["HYBRID_APP"] = "bookstore"
    said = empty.process("new", "subscriber", "gift-wrap", "--on", "payment-applied")
    assert said.out.split() == ["gift_wrap.py", "test_gift_wrap.py"]
    assert "--with gift_wrap.py" in said.err
    assert "Fill in, in test_gift_wrap.py: order_id: " in said.err
    test = empty.directory / "test_gift_wrap.py"
    filled = test.read_text().replace("'customer_id'", "'c-1042'").replace("'order_id'", "'B-7QKM-2XHT-AAB4'")
    test.write_text(filled)
    done = run_pytest(empty, "test_gift_wrap.py")
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["Gift", "--on", "payment-applied"], "Gift"),
        (["loyalty", "--on", "payment-applied"], "has a component loyalty already"),
        (["gift", "--on", "payment-aplied"], "payment-applied"),
        (["gift", "--on", "apply-payment"], "is a command"),
        (["gift"], "--on"),
    ],
)
def test_subscribers_that_it_refuses(anywhere, tmp_path, words, says):
    said = anywhere("new", "subscriber", *words)
    assert said.code == 2
    assert says in said.err
    assert list(tmp_path.iterdir()) == []
