"""The guardian's process: `python -I hybrid/server/__main__.py …`, spawned by hybrid.server.embedded.

Run by its path, and with empty packages in the places of `hybrid` and `hybrid.server`: a guardian that
imported all of Hybrid would start several times slower, and keep the memory for as long as there are users.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent


def run(words: list[str]) -> int:
    """Run the guardian with as little of Hybrid as it needs; return its exit status."""
    for name, place in (("hybrid", HERE.parent), ("hybrid.server", HERE)):
        bare = ModuleType(name)
        bare.__path__ = [str(place)]
        sys.modules[name] = bare
    status: int = import_module("hybrid.server.guardian").main(words)
    return status


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
