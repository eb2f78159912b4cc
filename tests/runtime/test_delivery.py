"""Lanes: how much is read ahead."""

import asyncio

from hybrid.runtime.delivery import MOST, Lane


class Nobody:
    component = "nobody"


def lane_of(shard, concurrency=8):
    return Lane(shard, shard.keys.command("pay"), Nobody(), "hybrid", concurrency)


def entries(*numbers):
    return [(f"{n}-0".encode(), {b"id": b"x"}) for n in numbers]


async def test_it_takes_as_many_as_run_and_some_ahead(store):
    lane = lane_of(store.shards[0])
    assert (lane.room, lane.open, lane.queue, lane.channel) == (10, True, True, "command:pay")
    lane.accept(entries(*range(9)), 0)
    assert (lane.room, lane.open) == (1, True)
    lane.accept(entries(9), 0)
    assert (lane.room, lane.open) == (0, False)


async def test_what_is_in_work_is_not_taken_twice(store):
    lane = lane_of(store.shards[0])
    assert len(lane.accept(entries(1, 2), 0)) == 2
    assert len(lane.accept(entries(2, 3), 0)) == 1
    assert len(lane.in_work) == 3


async def test_one_that_was_left_out_tells_when_it_is_open(store):
    lane, told = lane_of(store.shards[0], concurrency=1), []
    lane.on_room = lambda: told.append("room")
    first, second = lane.accept(entries(1, 2), 0)
    lane.left_out = True
    lane.release(first)
    assert told == ["room"]
    lane.release(second)
    assert told == ["room"]


async def test_fast_handlers_read_far_ahead_and_slow_ones_do_not(store):
    lane = lane_of(store.shards[0])
    for n in range(50_000):
        (delivery,) = lane.accept(entries(n), 0)
        lane.release(delivery)
        if lane.room > 8 + 2:
            break
    lane._since -= 0.05
    lane._ended = 100_000
    lane.release(lane.accept(entries(1), 0)[0])
    assert lane.room == 8 + MOST
    lane._since -= 60
    lane.release(lane.accept(entries(1), 0)[0])
    assert lane.room == 8 + 2


async def test_given_up_is_out_of_work_and_a_late_release_does_no_harm(store):
    lane = lane_of(store.shards[0])
    old, other = lane.accept(entries(1, 2), 0)
    old.ended = asyncio.Event()
    lane.give_up()
    assert old.ended.is_set()
    assert not lane.in_work
    (new,) = lane.accept(entries(1), 0)  # it came again, under another name
    lane.release(old)
    assert lane.in_work == {b"1-0": new}
    assert other.unit == "command:pay|nobody|2-0"
