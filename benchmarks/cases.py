"""What is compared with what, and what is aimed at: the table of cases."""

from dataclasses import dataclass
from typing import Literal

FASTSTREAM, CELERY = "benchmarks.rivals.faststream_streams", "benchmarks.rivals.celery_canvas"


@dataclass(frozen=True)
class Command:
    """A program that prints one JSON line as its last.

    `arguments` is a template of words with `{url}` and `{n}` in it; `n` is how much work it is given, a
    tenth in a quick run (at least 20).
    """

    module: str
    n: int
    arguments: str = "{url} {n}"

    def words(self, url: str, quick: bool) -> list[str]:
        """The words after `python`."""
        number = max(20, self.n // 10) if quick else self.n
        return ["-m", self.module, *self.arguments.format(url=url, n=number).split()]


@dataclass(frozen=True)
class Target:
    """A limit that is to be kept, for a ratio (ours divided by the rival's) or for our own figure."""

    bound: Literal["at least", "at most", "above", "below"]
    limit: float

    def met(self, value: float) -> bool:
        """Whether the value keeps the limit."""
        return {
            "at least": value >= self.limit,
            "at most": value <= self.limit,
            "above": value > self.limit,
            "below": value < self.limit,
        }[self.bound]

    def __str__(self) -> str:
        return f"{self.bound} {self.limit:g}"


@dataclass(frozen=True)
class Rival:
    """Somebody else at the same work, and the ratio we aim at, if there is one."""

    name: str
    command: Command
    target: Target | None = None


@dataclass(frozen=True)
class Case:
    """One figure, `field` of the JSON lines: ours against each rival, or (`own`) against a limit."""

    letter: str
    what: str
    field: str
    unit: str
    ours: Command
    rivals: tuple[Rival, ...] = ()
    own: Target | None = None

    def commands(self) -> dict[Command, str]:
        """All its programs with a short name for each, ours first."""
        return {self.ours: "hybrid"} | {rival.command: rival.name for rival in self.rivals}


OUR_SENDS = Command("benchmarks.ours.sends", 5_000)
BARE_SENDS = Command("benchmarks.floor.sends", 5_000)
OUR_ERRORS = Command("benchmarks.ours.errors", 10_000)
OUR_DESK = Command("benchmarks.ours.desk", 100_000)
OUR_WAITING = Command("benchmarks.ours.waiting", 50_000)
OUR_MEMORY = Command("benchmarks.ours.memory", 100_000)

CASES = (
    Case(
        "a",
        "consume + broadcast + settle, typed handlers, one process",
        "per_s",
        "/s",
        Command("benchmarks.ours.broker", 100_000),
        (
            Rival("broker floor", Command("benchmarks.floor.broker", 100_000), Target("at least", 0.3)),
            Rival(
                "FastStream, per message",
                Command(FASTSTREAM, 10_000, "{url} {n} message"),
                Target("at least", 10),
            ),
            Rival("FastStream, batches", Command(FASTSTREAM, 50_000, "{url} {n} batch"), Target("above", 1)),
        ),
    ),
    Case(
        "b",
        "orders of five steps and nine commands",
        "orders_per_s",
        "/s",
        Command("benchmarks.ours.flows", 10_000, "{url} {n} rate"),
        (
            Rival(
                "flow floor",
                Command("benchmarks.floor.flows", 10_000, "{url} rate {n}"),
                Target("at least", 0.5),
            ),
            Rival("Celery canvas", Command(CELERY, 300, "{url} {n} rate"), Target("at least", 20)),
        ),
    ),
    Case(
        "c",
        "one order alone, p50",
        "p50_ms",
        "ms",
        Command("benchmarks.ours.flows", 500, "{url} {n} alone"),
        (
            Rival(
                "flow floor",
                Command("benchmarks.floor.flows", 500, "{url} alone {n}"),
                Target("at most", 2.3),
            ),
            Rival("Celery canvas", Command(CELERY, 100, "{url} {n} alone")),
        ),
    ),
    Case(
        "d",
        "single send, confirmed",
        "single_per_s",
        "/s",
        OUR_SENDS,
        (Rival("redis-py XADD", BARE_SENDS, Target("at least", 0.65)),),
    ),
    Case(
        "d",
        "sending many",
        "many_per_s",
        "/s",
        OUR_SENDS,
        (Rival("redis-py pipeline of 500 XADDs", BARE_SENDS, Target("at least", 1)),),
    ),
    Case(
        "e",
        "one idle hop, send to handler entry, p50",
        "p50_ms",
        "ms",
        Command("benchmarks.ours.idle", 300),
        (Rival("FastStream", Command(FASTSTREAM, 300, "{url} {n} idle"), Target("below", 1)),),
    ),
    Case("f", "server memory per finished order", "bytes_per_order", "B", OUR_MEMORY),
    Case(
        "f", "the same, second half to first half", "server_flat", "×", OUR_MEMORY, own=Target("at most", 1.1)
    ),
    Case("f", "worker memory, end to middle", "worker_flat", "×", OUR_MEMORY, own=Target("at most", 1.1)),
    Case(
        "g",
        "good events/s with 10 % bad ones to without",
        "good_kept",
        "×",
        OUR_ERRORS,
        own=Target("at least", 0.75),
    ),
    Case("g", "p99 wait of good events, the same", "wait_kept", "×", OUR_ERRORS, own=Target("at most", 2)),
    Case("h", "`hybrid desk` with 100,000 failures", "groups_s", "s", OUR_DESK, own=Target("below", 2)),
    Case("h", "`hybrid desk list` of them", "list_s", "s", OUR_DESK, own=Target("below", 2)),
    Case(
        "h",
        "peak memory of the first, to 100 failures",
        "memory_flat",
        "×",
        OUR_DESK,
        own=Target("at most", 1.1),
    ),
    Case(
        "i",
        "server memory per flow that waits for a time or a person",
        "bytes_per_flow",
        "B",
        OUR_WAITING,
        own=Target("below", 2048),
    ),
    Case(
        "i",
        "the idle server's CPU with 50,000 of them, to without",
        "server_idle",
        "×",
        OUR_WAITING,
        own=Target("at most", 1.5),
    ),
    Case("i", "the idle worker's CPU, the same", "worker_idle", "×", OUR_WAITING, own=Target("at most", 1.5)),
    Case("i", "commands on it, the same", "commands_idle", "×", OUR_WAITING, own=Target("at most", 1.1)),
    Case(
        "i",
        "latest of fifty timers, with 100,000 pending",
        "late_ms",
        "ms",
        OUR_WAITING,
        own=Target("below", 250),
    ),
    Case("i", "`hybrid tasks list` of 25,000 tasks", "tasks_s", "s", OUR_WAITING),
    Case("i", "`hybrid flows list` of 50,000 flows", "flows_s", "s", OUR_WAITING),
)
