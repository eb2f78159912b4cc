"""Ids: 24 hexadecimal digits (96 bits), random for what is new, derived for what must be stable under a
re-run.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from secrets import token_hex

from hybrid.errors import InvalidMessage

GRAMMAR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
"""Ids that users may supply: 1 to 100 of these characters. `/` is left out: command ids are flow/run/step."""


def new_id() -> str:
    """Return a random id."""
    return token_hex(12)


def new_ids(number: int) -> list[str]:
    """Return so many random ids."""
    digits = token_hex(12 * number)
    return [digits[start : start + 24] for start in range(0, 24 * number, 24)]


def derived_id(*parts: str) -> str:
    """Return the id that these parts always give, as (cause, group, handler, index)."""
    return blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def command_id(flow: str, run: int, step: int) -> str:
    """Return the id of the command that a flow's step sends, the same in every re-run."""
    return f"{flow}/{run}/{step}"


def child_id(flow: str, run: int, step: int) -> str:
    """Return the id of the event, and so of the flow, that a flow's step starts as its child."""
    return derived_id(flow, "child", str(run), str(step))


def checked_id(id: str) -> str:
    """Return a user's id when it follows the grammar; raise InvalidMessage when not."""
    if not GRAMMAR.fullmatch(id):
        raise InvalidMessage(
            "id",
            [("id", "takes 1 to 100 letters, digits, and . _ : - (the first a letter or digit)")],
        )
    return id
