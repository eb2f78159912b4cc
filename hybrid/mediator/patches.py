"""Patches: small changes of a flow's function that take effect where a flow has not been yet.

`flow.patched(NAME)` gives its answer once per flow; it stands on the record as `patch:NAME`. The idea is that
of Temporal's patches.
"""

from __future__ import annotations

import re
from typing import Any

from hybrid.errors import ApplicationError
from hybrid.mediator.record import FlowRecord

_NAME = re.compile(r"[a-z][a-z0-9-]{0,59}")


def checked_patch(name: Any) -> str:
    """Return a patch's name. Raises ApplicationError when it is not kebab-case."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ApplicationError(f"{name!r} is no name for a patch: a-z, 0-9 and -, a letter first, 60 at most")
    return name


def is_new_ground(record: FlowRecord, steps: int, values: int) -> bool:
    """Tell whether nothing is on record beyond the first so many steps and values."""
    return steps + 1 not in record.steps and values + 1 not in record.values
