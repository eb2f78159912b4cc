"""Schedules of the small world: some that are known to be hard, and random but repeatable ones."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.streams.laws import Laws
from tests.streams.world import COMMANDS, GROUPS, Actor, Job, Plan, World

OUTCOMES = (["ok"], ["ok"], ["retry", "ok"], ["fail", "ok"], ["fail", "retry", "ok"])


def plan(dice: Random) -> Plan:
    """Return some flow."""
    stages = []
    for _ in range(dice.randint(1, 3)):
        size = dice.randint(1, 3)
        commands = [(dice.choice(COMMANDS), dice.choice(OUTCOMES), dice.random() < 0.5) for _ in range(size)]
        stages.append((dice.randint(1, size), commands))
    return stages


def play(world: World, dice: Random, moves: int) -> None:
    """Make so many random moves, then drain, checking the laws now and then. Raises AssertionError."""
    laws = Laws(world)
    world.errand(world.send("f1", plan(dice)))
    for number in range(moves):
        move(world, dice)
        if number % 4 == 0:
            laws.hold()
    world.drain()
    laws.hold_at_the_end()


def move(world: World, dice: Random) -> None:
    """Make one move."""
    actor = dice.choice(world.actors)
    kind = dice.choices(
        ("go", "finish", "crash", "freeze", "thaw", "clerk", "lose"), (45, 15, 5, 5, 10, 25, 1)
    )[0]
    if kind in {"go", "finish"}:
        if actor.job is None:
            world.begin(actor, world.job_for(actor, dice.randrange(8), dice.randint(1, 3)))
        for _ in range(dice.randint(1, 12)):
            world.step(actor, dice.choice(("made", "made", "made", "made", "deaf", "mute")))
        if kind == "finish":
            world.finish(actor)
    elif kind == "crash":
        world.crash(actor)
    elif kind == "freeze":
        world.freeze(actor)
    elif kind == "thaw" and world.late:
        late = world.late.pop(dice.randrange(len(world.late)))
        world.finish(late)
    elif kind == "clerk":
        world.errand(errand(world, dice))
    elif kind == "lose":
        world.lose_group(dice.choice(GROUPS))


def errand(world: World, dice: Random) -> Job:
    """Return something for the clerk to do."""
    id = dice.choice(("f1", "f2", "f3"))
    if dice.random() < 0.25:
        return world.send_past_window(id)
    return dice.choice(
        (
            lambda: world.send(id, plan(dice)),
            lambda: world.restart(id),
            lambda: world.decide_failed(dice.choice((*COMMANDS, *GROUPS)), dice.random() < 0.7),
            world.forget,
            lambda: world.retain(dice.randint(1, 3)),
            world.keep_time,
        )
    )()


OK, RETRY, FAIL = ["ok"], ["retry", "ok"], ["fail", "ok"]
QUEUES, MAIL, AUDIT = 0, 1, 2
"""What a worker reads."""


def begun(world: World, plan: Plan, id: str = "f1") -> None:
    """Send an initiating event and have its first commands issued."""
    world.do(world.actors[4], world.send(id, plan))
    world.do(world.actors[0], world.work(world.actors[0], 0, 9))


def two_mediators_have_the_same_flow(world: World) -> None:
    """The second to settle loads the record again."""
    first, second, *_, clerk = world.actors
    world.do(clerk, world.send("f1", [(1, [("pay", OK, True)])]))
    world.do(clerk, world.send_past_window("f1"))
    world.begin(first, world.work(first, 0, 1))
    world.step(first)  # reads
    world.step(first)  # loads
    world.do(second, world.work(second, 0, 1))
    world.finish(first)


def a_spurious_wake_up(world: World) -> None:
    """It comes when half of the results are there."""
    first, second, worker, _, clerk = world.actors
    begun(world, [(2, [("pay", OK, False), ("ship", OK, False)])])
    world.do(clerk, world.restart("f1"))
    world.do(clerk, world.restart("f1"))
    world.do(first, world.work(first, 0, 1))
    world.do(worker, world.work(worker, QUEUES, 9))
    world.do(second, world.work(second, 0, 1))


def a_spurious_wake_up_half_way(world: World) -> None:
    first, second, worker, _, clerk = world.actors
    begun(world, [(2, [("pay", OK, False), ("ship", RETRY, False)])])
    world.do(clerk, world.restart("f1"))
    world.do(clerk, world.restart("f1"))
    world.do(first, world.work(first, 0, 1))
    world.do(worker, world.work(worker, QUEUES, 9))
    world.do(second, world.work(second, 0, 1))


def a_loser_comes_late(world: World) -> None:
    """Of two commands one was enough, and the flow is further when the other one is done."""
    first, _, worker, other, clerk = world.actors
    begun(
        world,
        [
            (1, [("pay", OK, False), ("ship", RETRY, False)]),
            (2, [("pay", FAIL, False), ("pay", FAIL, False)]),
        ],
    )
    world.do(worker, world.work(worker, QUEUES, 9))
    world.do(first, world.work(first, 0, 9))
    world.do(clerk, world.keep_time())
    world.do(other, world.work(other, QUEUES, 9))


def a_timeout_comes_first(world: World) -> None:
    """And the acknowledgement after it."""
    first, _, worker, _, clerk = world.actors
    begun(world, [(1, [("pay", OK, True)]), (1, [("ship", OK, False)])])
    world.begin(worker, world.work(worker, QUEUES, 9))
    world.step(worker)
    world.do(clerk, world.keep_time())
    world.do(first, world.work(first, 0, 9))
    world.finish(worker)


def a_former_run_comes_late(world: World) -> None:
    first, _, worker, _, clerk = world.actors
    begun(world, [(1, [("pay", OK, False)])])
    world.begin(worker, world.work(worker, QUEUES, 9))
    world.step(worker)
    world.do(clerk, world.restart("f1"))
    world.do(first, world.work(first, 0, 9))
    world.finish(worker)


def a_restart_comes_between_end_and_forgetting(world: World) -> None:
    first, _, worker, _, clerk = world.actors
    begun(world, [(1, [("pay", OK, False)])])
    world.do(worker, world.work(worker, QUEUES, 9))
    world.do(first, world.work(first, 0, 9))
    world.do(clerk, world.restart("f1"))
    world.do(clerk, world.forget())


def three_broadcasts(world: World) -> None:
    _, _, worker, _, _ = world.actors
    begun(world, [(3, [("pay", OK, False), ("ship", OK, False), ("pay", OK, False)])])
    world.do(worker, world.work(worker, QUEUES, 9))


def a_group_is_lost_with_pending_entries(world: World) -> None:
    """It was given them, and its consumer died; then the group was destroyed."""
    _, _, worker, _, clerk = world.actors
    three_broadcasts(world)
    world.begin(worker, world.work(worker, MAIL, 9))
    world.step(worker)
    world.do(clerk, world.retain(1))
    world.crash(worker)
    world.lose_group("mail")


def one_group_is_behind(world: World) -> None:
    """The topic is trimmed while the others are far ahead."""
    _, _, worker, other, clerk = world.actors
    three_broadcasts(world)
    world.do(worker, world.work(worker, AUDIT, 9))
    world.begin(other, world.work(other, MAIL, 1))
    world.step(other)
    world.do(clerk, world.retain(1))
    world.crash(other)


def replies_are_lost(world: World) -> None:
    """Each one of them once: the call is made twice."""
    first, _, worker, _, clerk = world.actors

    def do(actor: Actor, job: Job) -> None:
        world.begin(actor, job)
        while actor.job is not None:
            world.step(actor, "deaf")
            world.step(actor)

    do(clerk, world.send("f1", [(2, [("pay", FAIL, False), ("ship", RETRY, True)])]))
    do(first, world.work(first, 0, 9))
    for _ in range(3):
        do(worker, world.work(worker, QUEUES, 9))
        do(clerk, world.decide_failed("pay", again=True))
        do(clerk, world.keep_time())
        do(first, world.work(first, 0, 9))
        do(worker, world.take_over(worker, 9))
    for _ in range(2):
        do(worker, world.work(worker, MAIL, 9))
        do(clerk, world.keep_time())
    do(clerk, world.restart("f1"))
    do(clerk, world.forget())
    do(clerk, world.retain(1))


def the_late_and_the_heir(world: World) -> None:
    """One loses its lease at work; another takes over, and both settle."""
    _, _, worker, heir, _ = world.actors
    begun(world, [(1, [("pay", OK, False), ("ship", OK, False)])])
    world.begin(worker, world.work(worker, QUEUES, 9))
    world.step(worker)
    world.freeze(worker)
    world.do(heir, world.take_over(heir, 1))
    world.do(heir, world.work(heir, QUEUES, 9))
    world.finish(worker)


def the_heir_is_slower(world: World) -> None:
    _, _, worker, heir, _ = world.actors
    begun(world, [(1, [("pay", RETRY, False), ("ship", FAIL, False)])])
    world.begin(worker, world.work(worker, QUEUES, 9))
    world.step(worker)
    world.freeze(worker)
    world.begin(heir, world.take_over(heir, 9))
    for _ in range(3):
        world.step(heir)
    world.finish(worker)
    world.finish(heir)


def the_living_are_left_alone(world: World) -> None:
    _, _, worker, other, _ = world.actors
    begun(world, [(1, [("pay", OK, False)])])
    world.begin(worker, world.work(worker, QUEUES, 9))
    world.step(worker)
    world.do(other, world.take_over(other, 9))


HARD: list[Callable[[World], None]] = [
    two_mediators_have_the_same_flow,
    a_spurious_wake_up,
    a_spurious_wake_up_half_way,
    a_loser_comes_late,
    a_timeout_comes_first,
    a_former_run_comes_late,
    a_restart_comes_between_end_and_forgetting,
    a_group_is_lost_with_pending_entries,
    one_group_is_behind,
    replies_are_lost,
    the_late_and_the_heir,
    the_heir_is_slower,
    the_living_are_left_alone,
]


def play_hard(world: World, schedule: Callable[[World], None]) -> None:
    """Play one of HARD, then drain; with the laws after each of the two."""
    laws = Laws(world)
    world.watch = laws.hold
    schedule(world)
    world.watch = lambda: None
    laws.hold()
    world.drain()
    laws.hold_at_the_end()
