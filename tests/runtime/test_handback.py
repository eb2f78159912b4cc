"""Handing back: whole, to the one group, as it came."""

from hybrid import Context, Processor
from hybrid.runtime.delivery import Lane
from hybrid.runtime.handback import hand_back
from tests.runtime.messages import Noted
from tests.runtime.world import until


class Nobody:
    component = "mail"


async def test_an_event_goes_back_to_its_group_with_its_time_and_attempt(world, store):
    shard = store.shards[0]
    topic = shard.keys.topic("noted")
    sent = world.raw.xadd(topic, {"id": "n1", "type": "noted", "data": b"\x80", "attempt": "2"})
    for group in ("mail", "other"):
        world.raw.xgroup_create(topic, group, id="0")
    rows = world.raw.xreadgroup("mail", "me", {topic: ">"})
    lane = Lane(shard, topic, Nobody(), "mail", 8)
    deliveries = lane.accept(rows[0][1], 0, taken_over=True)
    world.raw.hset(shard.keys.starts, deliveries[0].unit, "1 me")
    assert await hand_back(deliveries, [lane]) == 1
    assert await hand_back(deliveries, [lane]) == 0  # it is elsewhere now
    assert not lane.in_work
    assert world.pending(topic, "mail") == 0
    assert world.raw.hgetall(shard.keys.starts) == {}
    assert world.raw.xlen(topic) == 1  # others still get it

    seen = []
    mail = Processor("mail")

    @mail.on(Noted)
    async def note(event: Noted, context: Context):
        seen.append((context.envelope.id, context.attempt, context.envelope.time))

    async with world.running(mail):
        await until(lambda: world.counter("settled:mail"))
    assert seen == [("n1", 2, int(sent.partition(b"-")[0]))]


async def test_nothing_is_handed_back_easily(store):
    assert await hand_back([], []) == 0
