"""docs/consume-from-redis-cli.md, followed letter by letter on a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hybrid import App, Processor
from hybrid.inspect.ledger import ledger
from processors.messages.payment import PaymentApplied

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "consume-from-redis-cli.md").read_text()
CLI = shutil.which("redis-cli") or shutil.which("valkey-cli")
SECONDS = 20
ORDER = "B-7QKM-2XHT-AAB4"

pytestmark = pytest.mark.skipif(
    CLI is None,
    reason="NOT PROVEN: the page for redis-cli, since neither redis-cli nor valkey-cli is installed",
)


def blocks() -> list[str]:
    """The page's shell blocks, in order."""
    return re.findall(r"^```sh\n(.*?)^```", PAGE, re.S | re.M)


class Shell:
    """One shell in which block after block is typed."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "redis-cli").symlink_to(str(CLI))
        path = f"{directory}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._process = subprocess.Popen(
            ["bash", "-eu"], cwd=ROOT, env={**os.environ, "PATH": path}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
        )  # fmt: skip

    def types(self, block: str) -> str:
        """Type a block; return what it prints. What the page says that it prints is checked."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{block}\necho; echo '=end='\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line == "=end=\n":
                break
            lines.append(line)
        else:
            pytest.fail(f"the shell has ended at\n{block}\nafter\n{''.join(lines)}")
        said = "".join(lines)
        for expected in re.findall(r"^# → (.*)$", block, re.M):
            assert said.rstrip().splitlines()[-1] == expected, f"{block}\nprinted\n{said}"
        return said

    def close(self) -> None:
        self._process.communicate(timeout=SECONDS)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    found = Shell(tmp_path / "bin")
    yield found
    found.close()


def address(url: str) -> str:
    """The words by which redis-cli reaches this server."""
    return f"-s {urlsplit(url).path}" if url.startswith("unix://") else f"-u {url}"


def mine(block: str, url: str, shard: str) -> str:
    """The first block, with what a reader changes in it changed."""
    for theirs, ours in (
        ("-u redis://127.0.0.1:6379", address(url)),
        ("'{bookstore.main.0}'", f"'{shard}'"),
        ("IDLE=60000", "IDLE=0"),
    ):
        assert block.count(theirs) == 1
        block = block.replace(theirs, ours)
    return block


def paid(number: int) -> PaymentApplied:
    amount = Decimal("9.90") + number
    return PaymentApplied(order_id=ORDER, customer_id="c-1", amount=amount, receipt=f"R-{number}")


async def test_the_page_is_true(shell, store, fresh, settings, raw):
    app = App(fresh, [Processor("nobody")], messages=[PaymentApplied], settings=settings)
    keys = store.shards[0].keys
    topic = keys.topic("payment-applied")
    steps = iter(blocks())

    async def balanced(group: str | None) -> bool:
        found = await ledger(store, app.topology)
        assert group is None or group in [each.group for each in found.groups]
        return all(each.missing == 0 for each in found.groups)

    async with app.client() as client:
        first = await client.publish(paid(1))
        await client.publish_many([paid(number) for number in range(2, 6)])

        shell.types(mine(next(steps), settings.redis_url, keys.prefix.removesuffix(":")))
        assert shell.types(next(steps)).split() == [topic, "5"]
        shell.types(next(steps))  # an unregistered group
        assert await balanced(None)
        shell.types(next(steps))  # is gone again
        shell.types(next(steps))  # a registered one
        assert await balanced("audit")

        read = shell.types(next(steps)).splitlines()
        entry = raw.xrange(topic, count=1)[0][0].decode()
        assert read[:4] == [topic, entry, "id", first.id]
        assert shell.types(next(steps)).strip() == entry
        data = json.loads(shell.types(next(steps)))
        assert data == {"order_id": ORDER, "customer_id": "c-1", "amount": "10.90", "receipt": "R-1"}
        shell.types(next(steps))  # acknowledged
        assert raw.hget(keys.counters, "settled:audit") == b"1"
        assert await balanced("audit")

        assert shell.types(next(steps)).count("handled ") == 4  # the rest
        assert raw.xpending(topic, "audit")["pending"] == 0
        assert await balanced("audit")

        await client.publish(paid(6))
        dead = shell.types(next(steps))
        assert "a-reader-that-dies" in dead
        assert "R-6" in dead.split("\n0-0\n")[1]
        assert await balanced("audit")
        assert shell.types(next(steps)).split() == ["1", "0"]  # handled by the other; nothing is lost
        assert raw.hget(keys.counters, "settled:audit") == b"6"
        assert await balanced("audit")

        assert shell.types(next(steps)).split() == ["1", "0", "0", "0"]  # removed
        assert next(steps, None) is None
    assert raw.xinfo_groups(topic) == []
    assert not raw.hgetall(keys.groups)
    assert not raw.hexists(keys.counters, "settled:audit")
    assert await balanced(None)
