"""The names of all keys in Redis. One class builds every key; nothing else puts one together.

A shard's keys share the hash tag {app.domain.shard}, so that they live in one cluster slot:

    {app.domain.0}:store              hash    format, shards, id, created
    {app.domain.0}:command:TYPE       stream  the queue of a command type
    {app.domain.0}:event:NAME         stream  the event queue of a mediator: initiating events
    {app.domain.0}:own:NAME           stream  a component's own queue: wake-ups for mediators, what goes
                                              back for one group
    {app.domain.0}:topic:TYPE         stream  the broadcasts of an event type
    {app.domain.0}:later:NAME         zset    deliveries of a group that wait for their next attempt
    {app.domain.0}:failed:NAME        stream  the desk: deliveries of a group that no retry could cure
    {app.domain.0}:archived:NAME      stream  those of them that were put away
    {app.domain.0}:desk-log           stream  what people did at the desk
    {app.domain.0}:gate:NAME          hash    whose turn it is: per channel and key the message in work
    {app.domain.0}:held:NAME          zset    deliveries of a group that wait for the one before of their key
    {app.domain.0}:repair:FIXER/NAME  stream  deliveries of a group that a workflow processor looks at first
    {app.domain.0}:timers             zset    timeouts and sleeps of flow steps
    {app.domain.0}:tasks              zset    open tasks of people, FLOW/RUN/STEP, by when asked (ms)
    {app.domain.0}:scheduled          zset    what is sent later: messages, whole, and ticks of schedules
    {app.domain.0}:schedules          hash    what is sent at each tick, and when it ticks, by name
    {app.domain.0}:flow:ID            hash    a flow's record
    {app.domain.0}:history:ID         list    a flow's history
    {app.domain.0}:waits:NAME/TYPE    zset    the steps of a mediator's flows that wait to hear an event type
    {app.domain.0}:matches:NAME       hash    by what they match it: number of steps by TYPE FIELDS
    {app.domain.0}:past:ID/RUN        hash    the record of an earlier run of a flow, for some time
    {app.domain.0}:pauses             hash    types and keys of which no flow goes on, with who paused them
    {app.domain.0}:flows              zset    unfinished flows by start (ms)
    {app.domain.0}:outcomes           stream  ended flows, oldest first
    {app.domain.0}:log                stream  the settle log
    {app.domain.0}:counters           hash    entered:CHANNEL, settled:NAME, failed:NAME, …
    {app.domain.0}:groups             hash    registered groups of topics
    {app.domain.0}:seen:new, :old     set     ids of recent sends
    {app.domain.0}:starts             hash    starts of deliveries taken over from dead workers
    {app.domain.0}:lease:CONSUMER     string  exists while the consumer lives
    {app.domain.0}:consumers          hash    what each consumer says it serves
"""

from __future__ import annotations

from functools import cache

QUEUE_GROUP = "hybrid"
"""The one group name of all queues, so that one XREADGROUP serves all queues of a slot."""


class Keys:
    """The keys of one shard."""

    def __init__(self, app: str, domain: str, shard: int) -> None:
        self.prefix = p = f"{{{app}.{domain}.{shard}}}:"
        self.store = p + "store"
        self.timers = p + "timers"
        self.tasks = p + "tasks"
        self.scheduled = p + "scheduled"
        self.schedules = p + "schedules"
        self.flows = p + "flows"
        self.outcomes = p + "outcomes"
        self.pauses = p + "pauses"
        self.log = p + "log"
        self.counters = p + "counters"
        self.desk_log = p + "desk-log"
        self.groups = p + "groups"
        self.seen_new = p + "seen:new"
        self.seen_old = p + "seen:old"
        self.starts = p + "starts"
        self.consumers = p + "consumers"
        self.command = cache(lambda type: f"{p}command:{type}")
        self.event = cache(lambda name: f"{p}event:{name}")
        self.own = cache(lambda name: f"{p}own:{name}")
        self.topic = cache(lambda type: f"{p}topic:{type}")
        self.later = cache(lambda name: f"{p}later:{name}")
        self.failed = cache(lambda name: f"{p}failed:{name}")
        self.gate = cache(lambda name: f"{p}gate:{name}")
        self.held = cache(lambda name: f"{p}held:{name}")
        self.repair = cache(lambda fixer, name: f"{p}repair:{fixer}/{name}")
        self.archived = cache(lambda name: f"{p}archived:{name}")
        self.waits = cache(lambda name, type: f"{p}waits:{name}/{type}")
        self.matches = cache(lambda name: f"{p}matches:{name}")

    def flow(self, id: str) -> str:
        """Return the key of a flow's record."""
        return f"{self.prefix}flow:{id}"

    def history(self, id: str) -> str:
        """Return the key of a flow's history."""
        return f"{self.prefix}history:{id}"

    def past(self, id: str, run: int) -> str:
        """Return the key of the record of an earlier run of a flow."""
        return f"{self.prefix}past:{id}/{run}"

    def lease(self, consumer: str) -> str:
        """Return the key of a consumer's lease."""
        return f"{self.prefix}lease:{consumer}"

    def places(self, name: str) -> list[str]:
        """Return the keys of the places, besides channels, where deliveries of a component are: later,
        failed, archived, held.
        """
        return [self.later(name), self.failed(name), self.archived(name), self.held(name)]

    def stream(self, channel: str) -> str:
        """Return the key of a channel; the reverse of `channel`."""
        return self.prefix + channel

    def channel(self, key: str) -> str:
        """Return what a channel's key is called in counters and lists: `command:TYPE`, `event:NAME`,
        `own:NAME`, `topic:TYPE`, `repair:FIXER/NAME`.
        """
        return key[len(self.prefix) :]

    def lasting(self) -> list[str]:
        """Return patterns (relative to the prefix) of the keys that may exist without a time limit."""
        bounded = ["store", "timers", "flows", "outcomes", "log", "counters", "groups", "starts", "consumers"]
        bounded += ["desk-log", "scheduled", "schedules", "tasks", "pauses"]
        kinds = ["command", "event", "own", "topic", "later", "failed", "archived", "repair", "gate", "held"]
        kinds += ["flow", "history", "waits", "matches"]
        return [*bounded, *(f"{kind}:*" for kind in kinds)]
