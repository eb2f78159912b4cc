"""What everything that works in one process shares."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from hybrid.clock import Clock
from hybrid.ids import new_id
from hybrid.settings import Settings
from hybrid.topology import Topology


def consumer_name() -> str:
    """Return a name for a consumer that nobody else has: host, process and a random part."""
    return f"{socket.gethostname()}-{os.getpid()}-{new_id()[:6]}"


@dataclass(slots=True)
class Workplace:
    """The application's topology and settings, the clock, the consumer's name, and what handlers are
    given.
    """

    topology: Topology
    settings: Settings
    pool: ThreadPoolExecutor
    resources: dict[Any, Any] = field(default_factory=dict)
    gates: dict[Any, Any] = field(default_factory=dict)
    """By handler: what keeps it to its limit, on all shards."""
    clock: Clock = field(default_factory=Clock)
    consumer: str = field(default_factory=consumer_name)
    stopping: bool = False
    """Nothing new is started: shutdown, or the lease was lost."""
