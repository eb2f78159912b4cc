"""Keys: what a terminal sends, as names."""

from __future__ import annotations

import re

NAMES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\r": "enter",
    "\n": "enter",
    "\x1b": "escape",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x03": "interrupt",
    "\x15": "erase",
}
_KEY = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|.", re.DOTALL)


def keys_of(text: str) -> list[str]:
    """Return the names of the keys that these characters stand for: a printable one is its own name; what has
    no name here is left out.
    """
    found = [NAMES.get(sequence, sequence) for sequence in _KEY.findall(text)]
    return [key for key in found if key in NAMES.values() or (len(key) == 1 and key.isprintable())]
