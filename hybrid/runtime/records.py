"""Records of flows, loaded for the runner of a mediator; it waits while there is no server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from hybrid.broker.shard import Shard
from hybrid.codec import unpack
from hybrid.errors import ServerUnavailable
from hybrid.mediator.kept import Kept
from hybrid.mediator.record import Deed

Fields = dict[bytes, bytes]
"""A record, as it stands in Redis."""
Rules = dict[str, Deed]
"""Who paused all flows of a type (`type:TYPE`) or of a key (`key:KEY`), by that."""


class Records:
    """The records of flows on one shard."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    async def load(self, flows: Sequence[str], kept: Mapping[str, Kept]) -> dict[str, Fields]:
        """Return what is needed of the records of these flows, in one round trip."""
        if not flows:
            return {}
        keys = [self._shard.keys.flow(flow) for flow in flows]
        wanted = [kept[flow].wanted() if flow in kept else [] for flow in flows]
        return dict(zip(flows, await self._hashes(keys, wanted), strict=True))

    async def rules(self) -> Rules:
        """Return the types and keys of flows that are paused."""
        (rules,) = await self._hashes([self._shard.keys.pauses], ())
        return {rule.decode(): Deed(*unpack(deed)) for rule, deed in rules.items()}

    async def _hashes(self, keys: list[str], wanted: Sequence[list[str]]) -> list[Fields]:
        pause = 0.05
        while True:
            try:
                return await self._shard.queries.hashes(keys, wanted)
            except ServerUnavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)


def paused_by(rules: Rules, type: str, key: str) -> Deed | None:
    """Return who paused all flows of this type, or of this key; None when nobody did."""
    for rule in (f"type:{type}", f"key:{key}"):
        if deed := rules.get(rule):
            return deed._replace(rule=rule)
    return None
