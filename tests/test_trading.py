"""The trading desk of examples/, from the command line: a basket, a repair by program, one by a person."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hybrid.ids import new_id
from tests.conftest import swept

EXAMPLES = Path(__file__).parent.parent / "examples"
PATIENCE = 30
ACCOUNT = "1533G658HD8"


@pytest.fixture
def hybrid(server, tmp_path):
    """`hybrid` over the example, under a name of its own, while it runs."""
    name = f"t{new_id()}"
    source = (EXAMPLES / "trading.py").read_text()
    (tmp_path / "trading.py").write_text(source.replace('App("trading"', f'App("{name}"'))
    (tmp_path / "basket.csv").write_text((EXAMPLES / "basket.csv").read_text())
    env = {**os.environ, "HYBRID_APP": "trading.py", "HYBRID_REDIS_URL": server, "HYBRID_LEASE_MS": "2000"}
    env |= {"PYTHONPATH": str(EXAMPLES.parent), "USER": "ada"}
    command = [sys.executable, "-P", "-m", "cli"]

    def say(*words, code=0):
        run = subprocess.run(
            [*command, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=PATIENCE
        )
        assert run.returncode == code, f"{words}: {run.returncode}\n{run.stdout}{run.stderr}"
        return run.stdout

    worker = subprocess.Popen(
        [*command, "run", "--quiet"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert "ready" in worker.stdout.readline()
        yield say
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=PATIENCE)
    assert not swept(server, name)


def executed(hybrid, number):
    """The trades that were executed, once there are so many: per account (side, shares)."""
    deadline = time.monotonic() + PATIENCE
    while True:
        lines = hybrid("tail", "trade-executed", "-o", "json", "--since", "1h").splitlines()
        trades = [event["data"] for event in map(json.loads, lines) if event.get("data")]
        if len(trades) >= number:
            break
        assert time.monotonic() < deadline, trades
    found = {}
    for trade in trades:
        found.setdefault(trade["account"], []).append((trade["side"], trade["shares"]))
    return found


def test_a_basket(hybrid):
    ids = hybrid("send", "place-trade", "--file", "basket.csv").split()
    assert len(ids) == 10
    trades = executed(hybrid, 8)
    assert trades["2WE35HF6DHF"] == [("BUY", 8756), ("SELL", 756), ("SELL", 8000)]
    assert trades["12654A87FR4"] == [("BUY", 1254), ("SELL", 254)]
    assert ACCOUNT not in trades
    (group,) = json.loads(hybrid("desk", "--json"))
    assert group["count"] == 1
    assert "UnknownSide" in json.dumps(group) and "execute-trade" in json.dumps(group)
    (failure,) = json.loads(hybrid("desk", "list", "--json"))
    (held,) = json.loads(hybrid("held", "list", "--json"))
    assert (held["key"], held["waiting"], held["behind"]) == (ACCOUNT, 1, failure["message"])
    assert held["state"] == "at the desk"
    said = hybrid("desk", "retry", failure["id"], "--yes", "--stages", "1", code=1)
    assert "failed again" in said
    (again,) = json.loads(hybrid("desk", "list", "--json"))
    hybrid("desk", "edit", again["id"], "--set", "side=BUY", "--yes", "--reason", "phoned the customer")
    assert executed(hybrid, 10)[ACCOUNT] == [("BUY", 2654), ("SELL", 54)]
    assert json.loads(hybrid("desk", "list", "--json")) == json.loads(hybrid("held", "list", "--json")) == []
    newest = json.loads(hybrid("desk", "log", "--json"))[0]
    assert (newest["who"], newest["action"], newest["reason"]) == ("ada", "edit", "phoned the customer")
    assert "ledger: balanced" in hybrid("status")
