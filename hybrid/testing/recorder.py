"""The recorder: writes down what the worker of a bed sends, as it is settled. A queue forgets a command as
soon as it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hybrid.broker.settler import Settler, Then
from hybrid.streams.scripts import Scripts, pairs
from hybrid.streams.transitions import APPLIED, Item, Transition


class Recorder(Settler):
    """A settler that tells of each effect that was applied."""

    def __init__(self, scripts: Scripts, counters: str, tell: Callable[[Item], None]) -> None:
        super().__init__(scripts, counters)
        self._tell = tell

    def put(self, transition: Transition, then: Then) -> None:
        """Settle soon, and tell."""

        def heard(code: int) -> None:
            try:
                for effect in transition.effects if code == APPLIED else ():
                    self._tell(effect)
            finally:
                then(code)

        super().put(transition, heard)

    async def settle(self, transition: Transition) -> int:
        """Settle, tell, and return the code."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.put(transition, lambda code: None if done.done() else done.set_result(code))
        return await done


def flat_fields(effect: Item) -> dict[bytes, bytes]:
    """Return the entry that an effect `add` appends, as it is read."""
    return pairs([word.encode() if isinstance(word, str) else word for word in effect[3]])
