"""`hybrid watch` in a real terminal: keys are pressed, the screen is read."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

import pyte
import pytest

PATIENCE = 30
INSIDE = 5
"""The server counts the commands inside a script too; so many there are for one that is sent, and more."""


class Terminal:
    """A pseudo-terminal with a program in it."""

    def __init__(self, place, words, width=110, height=30):
        self.master, slave = pty.openpty()
        self.screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self.screen)
        self._size(width, height)
        env = {
            **os.environ,
            **place.env,
            "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
            "TERM": "xterm-256color",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli", *words],
            cwd=place.directory, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - its controlling terminal
        )  # fmt: skip
        os.close(slave)

    def _size(self, width, height):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width, height):
        self.screen.resize(height, width)
        self._size(width, height)
        os.kill(self.process.pid, signal.SIGWINCH)

    def press(self, text):
        os.write(self.master, text.encode())

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, *wanted, without=()):
        """Read the screen until it has all of this, and nothing of that."""
        deadline = time.monotonic() + PATIENCE
        while not (
            all(each in self.text for each in wanted) and not any(each in self.text for each in without)
        ):
            assert time.monotonic() < deadline, f"{wanted} has not come:\n{self.text}"
            if select([self.master], [], [], 0.1)[0]:
                try:
                    self._stream.feed(os.read(self.master, 1 << 16))
                except OSError:
                    pytest.fail(f"it has ended:\n{self.text}")
        return self.text

    def ended(self):
        """Return the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
            if select([self.master], [], [], 0.05)[0]:
                try:
                    self._stream.feed(os.read(self.master, 1 << 16))
                except OSError:
                    self.process.wait(PATIENCE)
        return self.process.returncode


@contextmanager
def watching(place, *words, **size) -> Iterator[Terminal]:
    terminal = Terminal(place, ["watch", *words], **size)
    try:
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


def test_a_round_through_the_views(hybrid, place):
    hybrid("send", "go", "n=1", "--wait", "--id", "watch-1")
    with watching(place) as terminal:
        terminal.until("1 events", "worker", "done", "workers 1", "q leave")
        terminal.press("2")
        terminal.until("2 flows", "flow")
        terminal.press("3")
        terminal.until("command:work", "topic:worked", "event:front")
        terminal.press("r")
        terminal.until("simple mediator", "processor", "listener")
        terminal.press("j\r")
        terminal.until("alive")
        terminal.press("\x1b")
        terminal.until("simple mediator")
        terminal.press("?")
        terminal.until("a flow's waterfall")
        terminal.press("x")
        terminal.press("q")
        assert terminal.ended() == 0


def test_filter_and_open_an_event(hybrid, place):
    hybrid("send", "go", "n=2", "--wait", "--id", "watch-2")
    hybrid("send", "go", "n=3", "--wait", "--id", "watch-3")
    with watching(place, width=160) as terminal:
        terminal.until("watch-2", "watch-3")
        terminal.press("/watch-2\r")
        terminal.until("/watch-2", without=["watch-3"])
        terminal.press("\r")
        terminal.until("completed", "work", "watch-2")
        terminal.press("\x1b")
        terminal.press("\x1b")
        terminal.until("watch-3")


def test_it_goes_on_while_things_happen_and_holds_still_when_paused(hybrid, place):
    with watching(place, width=160) as terminal:
        terminal.until("1 events")
        hybrid("send", "go", "n=4", "--wait", "--id", "watch-4")
        terminal.until("watch-4")
        terminal.press("p")
        terminal.until("PAUSED")
        hybrid("send", "go", "n=5", "--wait", "--id", "watch-5")
        terminal.press("p")
        terminal.until("watch-5", without=["PAUSED"])


def test_it_follows_the_size(hybrid, place):
    hybrid("send", "go", "n=6", "--wait")
    with watching(place, width=80, height=24) as terminal:
        terminal.until("1 events", "q leave")
        assert len(terminal.text.splitlines()) <= 24
        terminal.resize(150, 45)
        terminal.press("3")
        terminal.until("3 channels", "backlog", "q leave")
        terminal.resize(60, 12)
        terminal.until("3 channels")
        terminal.press("q")
        assert terminal.ended() == 0


def test_the_interrupt_key_and_a_signal_end_it(place):
    with watching(place) as terminal:
        terminal.until("1 events")
        terminal.press("\x03")
        assert terminal.ended() in (0, 130)
    with watching(place) as terminal:
        terminal.until("1 events")
        os.kill(terminal.process.pid, signal.SIGTERM)
        assert terminal.ended() != 0


def test_it_only_looks_unless_allowed(hybrid, place):
    hybrid("send", "go", "n=13", "note=broken")
    with watching(place, "--view", "desk", "--filter", "ZeroDivisionError") as terminal:
        terminal.until("ZeroDivisionError", "group ")
        terminal.press("R")
        terminal.until("many go back by stages")
        terminal.press("\r")
        terminal.until("1 at the desk")
        terminal.press("\x1b")
        terminal.press("j")
        terminal.press("R")
        terminal.until("this console only looks")
        terminal.press("\r")
        terminal.until("Traceback")


def test_it_costs_next_to_nothing(hybrid, place, raw):
    """Per console at most 20 commands a second, and no group, consumer or key of its own."""
    hybrid("send", "go", "n=8", "--wait")
    keys = sorted(raw.keys(f"{{{place.name}.*"))

    def calls():
        return sum(stats["calls"] for stats in raw.info("commandstats").values())

    def looks(seconds):
        before, began = calls(), time.monotonic()
        while time.monotonic() - began < seconds:
            terminal.until("q leave")
            select([], [], [], 0.1)
        return (calls() - before) / (time.monotonic() - began)

    with watching(place) as terminal:
        terminal.until("1 events", "q leave")
        with_one = looks(4)
        terminal.press("p")
        terminal.until("PAUSED")
        without = looks(4)
    assert with_one - without <= 20 * INSIDE
    assert sorted(raw.keys(f"{{{place.name}.*")) == keys


def test_one_frame(hybrid, place):
    hybrid("send", "go", "n=7", "--wait", "--id", "watch-7")
    found = hybrid("watch", "--once", "--json").data
    assert {"channels", "components", "deliveries", "flows", "consumers"} <= set(found)
    assert any(line["flow"] == "watch-7" for line in found["deliveries"])
    assert "deliveries/s" in hybrid("watch", "--once").out


def test_lines_where_there_is_no_terminal(place):
    child = place.spawn("watch")
    try:
        lines = [child.stdout.readline() for _ in range(2)]
        assert all("deliveries/s" in line for line in lines)
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=PATIENCE)
    assert child.returncode == 130


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--view", "everything"], "--view everything"),
        (["--json"], "--json goes with --once"),
        (["--interval", "0"], "interval"),
    ],
)
def test_wrong_words(hybrid, words, said):
    answer = hybrid("watch", *words)
    assert answer.code == 2
    assert said in answer.err
