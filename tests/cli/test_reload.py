"""`hybrid run --reload`: subscribers that come, change and go while an application runs."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest

from hybrid.broker.log import LogEntry, entries_of
from hybrid.discovery import load
from hybrid.ids import new_id
from hybrid.keys import Keys
from tests.cli.conftest import PATIENCE, SHOP
from tests.cli.test_run import until
from tests.cli.test_with import heard, subscriber
from tests.conftest import swept
from tests.processors.shop import order
from tests.runtime.world import until as until_async

ROOT = SHOP.parents[2]
LONGEST = 2_000
"""No two settles of a worker that is busy all the time are further apart than this (ms)."""


class Watched:
    """A `hybrid run --reload` that runs, and what it has said so far."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child
        self.said = ""
        self._threads = [
            threading.Thread(target=self._listen, args=(stream,)) for stream in (child.stdout, child.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it has said this."""
        until(lambda: self.said.count(text) >= times)

    def end(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(PATIENCE)
        finally:
            self.child.kill()
            for thread in self._threads:
                thread.join()
            for stream in (self.child.stdout, self.child.stderr):
                stream.close()

    def _listen(self, stream) -> None:
        for line in stream:
            self.said += line


@contextmanager
def watched(child: subprocess.Popen[str]) -> Iterator[Watched]:
    found = Watched(child)
    try:
        found.says("ready: ")
        found.says("watching ")
        yield found
    finally:
        found.end()
    assert child.returncode == 0, found.said


def test_a_file_changes_and_the_change_runs(still):
    path = subscriber(still, "first")
    with watched(still.spawn("run", "--quiet", "--reload", "--with", "first.py")) as run:
        run.says("consumes (first)")
        still.process("send", "go", "n=1", "--wait")
        until(lambda: heard(still, "first") == ["1"])
        path.write_text(path.read_text().replace("event.n,", "event.n + 100,"))
        run.says("first.py has changed: first ends, and starts anew")
        run.says("consumes (first)", 2)
        still.process("send", "go", "n=2", "--wait")
        until(lambda: heard(still, "first") == ["1", "102"])


def test_a_mistake_is_told_once_and_tried_again_when_it_is_mended(still):
    path = subscriber(still, "first")
    good = path.read_text()
    with watched(still.spawn("run", "--quiet", "--reload", "--with", "first.py")) as run:
        run.says("consumes (first)")
        path.write_text("1 / 0\n")
        run.says("first.py is not run: ")
        assert run.said.count("ZeroDivisionError") == 1
        assert "Traceback" not in run.said
        assert still.process("send", "go", "n=1", "--wait").code == 0
        path.write_text(good)
        run.says("consumes (first)", 2)
        until(lambda: heard(still, "first") == ["1"])  # what came meanwhile had waited
        assert run.said.count("ZeroDivisionError") == 1


def test_a_file_that_goes_and_one_whose_name_is_taken(still):
    path = subscriber(still, "first")
    second = subscriber(still, "second")
    with watched(
        still.spawn("run", "--quiet", "--reload", "--with", "first.py", "--with", "second.py")
    ) as run:
        run.says("consumes (first)")
        run.says("consumes (second)")
        second.write_text(path.read_text())
        run.says("second.py is not run: ")
        assert "two components are called first" in run.said
        path.unlink()
        run.says("first.py is gone: first has ended. Its group stays")
        assert "`hybrid groups remove first`" in run.said
        run.says("consumes (first)", 2)  # the name is free now


def test_a_process_that_dies_is_replaced(still):
    subscriber(still, "first")
    with watched(still.spawn("run", "--quiet", "--reload", "--with", "first.py")) as run:
        run.says("consumes (first)")
        line = next(line for line in run.said.splitlines() if "consumes (first)" in line)
        os.kill(int(line.rsplit("-", 2)[1]), signal.SIGKILL)
        run.says("the process of first (first.py) ended with signal SIGKILL; another one starts")
        run.says("consumes (first)", 2)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "finds nothing to watch"),
        (("--with", "nowhere.py"), "no file nowhere.py here"),
        (("--with", "first.py", "--processes", "2"), "--reload and --processes do not go together"),
    ],
)
def test_what_it_can_not_do(still, words, reason):
    subscriber(still, "first")
    said = still.process("run", "--reload", *words)
    assert said.code == 2
    assert reason in said.err
    assert said.err.count("\n") == 1


OF_A_PACKAGE = """
    from pathlib import Path

    from hybrid import Processor
    from .messages.orders import InvoiceSent

    {name} = Processor("{name}")

    @{name}.on(InvoiceSent)
    def note(event: InvoiceSent) -> None:
        Path("{name}.txt").write_text(event.order_id)
"""


def test_new_files_in_the_folder_of_an_application(still):
    (still.directory / f"{still.name}.py").unlink()
    assert still.process("new", "app", still.name).code == 0
    still.env["HYBRID_APP"] = still.name
    folder = still.directory / still.name / "processors"
    with watched(still.spawn("run", "--quiet", "--reload")) as run:
        (folder / "broken.py").write_text("1 / 0\n")
        (folder / "_draft.py").write_text("1 / 0\n")
        (folder / "first.py").write_text(dedent(OF_A_PACKAGE).format(name="first"))
        run.says("broken.py is not run: ")
        run.says("consumes (first)")
        (folder / "broken.py").unlink()  # other commands load the application, and stumble over it
        sent = still.process("send", "order-placed", "order_id=o-1", "item=tea", "price=3.50", "--wait")
        assert sent.code == 0, sent.err
        until(lambda: heard(still, "first") == ["o-1"])
        assert run.said.count("ZeroDivisionError") == 1
        assert "_draft" not in run.said


GIFT_WRAP = '''
"""Gift wrap: offers it for each order that is paid."""

from pathlib import Path

from hybrid import Context, Processor
from processors.messages.payment import PaymentApplied

gift_wrap = Processor("gift-wrap")


@gift_wrap.on(PaymentApplied)
async def offer(event: PaymentApplied, context: Context) -> None:
    """Note the order."""
    with Path("offered.txt").open("a") as file:
        print(event.order_id, file=file)
'''


class Bookstore:
    """A copy of the bookstore's files, which runs in a domain of its own."""

    def __init__(self, directory: Path, url: str, raw) -> None:
        self.directory, self.raw = directory, raw
        for package in ("mediators", "processors"):
            shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
        domain = new_id()
        self.keys = Keys("bookstore", domain, 0)
        self.settings = {"redis_url": url, "domain": domain, "directory": directory / "data"}
        self.env = {f"HYBRID_{name.upper()}": str(value) for name, value in self.settings.items()}
        self.env |= {"HYBRID_APP": "bookstore", "HYBRID_LEASE_MS": "2000"}

    def spawn(self) -> subprocess.Popen[str]:
        env = {**os.environ, **self.env, "PYTHONPATH": f"{self.directory}:{ROOT}"}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "cli", "run", "--reload", "--quiet"],
            cwd=self.directory, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def files(self) -> dict[str, str]:
        """The files of mediators and processors, with what stands in them."""
        found = [
            path for name in ("mediators", "processors") for path in (self.directory / name).rglob("*.py")
        ]
        return {
            str(path.relative_to(self.directory)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in found
        }

    def consumers(self) -> dict[tuple[str, str], set[str]]:
        """The consumers of every group of every channel."""
        found = {}
        for kind in ("command", "event", "own", "topic"):
            for key in self.raw.scan_iter(match=f"{self.keys.prefix}{kind}:*", count=1000):
                for group in self.raw.xinfo_groups(key):
                    consumers = self.raw.xinfo_consumers(key, group["name"])
                    names = {each["name"].decode() for each in consumers}
                    found[self.keys.channel(key.decode()), group["name"].decode()] = names
        return found

    def log(self) -> list[tuple[int, LogEntry]]:
        """The settle log: when (ms), and what."""
        rows = self.raw.xrange(self.keys.log)
        return [
            (int(entry.partition(b"-")[0]), line) for entry, fields in rows for line in entries_of(fields)
        ]


@pytest.fixture
def bookstore(url, raw, tmp_path):
    found = Bookstore(tmp_path, url, raw)
    yield found
    assert not swept(url, f"bookstore.{found.settings['domain']}")


@pytest.mark.timeout(120)
async def test_a_subscriber_joins_the_running_bookstore(bookstore):
    app = load("bookstore", **bookstore.settings)
    sent: list[str] = []
    leases: list[int] = []
    enough = asyncio.Event()

    async def send() -> None:
        async with app.client() as client:
            while not enough.is_set():
                sent.append((await client.send(order())).id)
                leases.append(bookstore.raw.exists(lease))
                await asyncio.wait([waiting], timeout=0.05)
            for id in sent:
                assert (await client.wait(id)).state == "completed"

    waiting = asyncio.ensure_future(enough.wait())
    with watched(await asyncio.to_thread(bookstore.spawn)) as run:
        main = next(line for line in run.said.splitlines() if line.startswith("ready: ")).split()[-1]
        lease = bookstore.keys.lease(main)
        sending = asyncio.ensure_future(send())
        await until_async(lambda: len(bookstore.log()) > 100)
        before, files = bookstore.consumers(), bookstore.files()
        said = bookstore.raw.hget(bookstore.keys.consumers, main)

        (bookstore.directory / "processors" / "gift_wrap.py").write_text(GIFT_WRAP)
        await until_async(lambda: "consumes (gift-wrap)" in run.said)
        joined, offered = len(sent), bookstore.directory / "offered.txt"
        await until_async(lambda: len(sent) > joined + 30)
        enough.set()
        await sending
        await until_async(lambda: len(offered.read_text().split()) == len(sent))

        assert len(set(offered.read_text().split())) == len(sent)  # history and live, each once
        after = bookstore.consumers()
        added = after.pop(("topic:payment-applied", "gift-wrap"))
        assert len(added) == 1
        new = added.pop()
        assert after.pop(("own:gift-wrap", "hybrid"), {new}) == {new}
        assert {key: after[key] for key in before} == before
        assert bookstore.raw.hget(bookstore.keys.consumers, main) == said  # it has never left
        now = bookstore.files()
        assert now.pop("processors/gift_wrap.py")
        assert now == files
        assert all(leases)
        log = bookstore.log()
        assert {line.consumer for _, line in log} == {main, new}
        moments = [moment for moment, line in log if line.consumer == main]
        assert max(later - earlier for earlier, later in pairwise(moments)) < LONGEST

        loyalty = bookstore.directory / "processors" / "loyalty.py"
        loyalty.write_text(loyalty.read_text() + "\n")
        told = "processors/loyalty.py has changed; what was loaded at the start runs on"
        await until_async(lambda: told in run.said)
    assert "error" not in run.said.lower()
