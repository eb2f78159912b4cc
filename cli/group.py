"""The root of the commands. Its options are declared once, and may stand anywhere on the line: `hybrid status
--app shop`.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

ANYWHERE = {"--app": 1, "--redis-url": 1, "--domain": 1, "--directory": 1, "--debug": 0}
"""The root's options, and how many values each takes."""


class Root(TyperGroup):
    """A group that finds its own options behind the command's name too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse a line after moving the root's options to its front."""
        return super().parse_args(ctx, hoisted(args))


def hoisted(args: list[str]) -> list[str]:
    """Return a line with the options of ANYWHERE first; what follows `--` stays as it is."""
    front: list[str] = []
    rest: list[str] = []
    at = 0
    while at < len(args):
        word = args[at]
        if word == "--":
            return [*front, *rest, *args[at:]]
        name, equals, _ = word.partition("=")
        values = ANYWHERE.get(name)
        if values is None:
            rest.append(word)
            at += 1
        else:
            take = 1 if equals else 1 + values
            front += args[at : at + take]
            at += take
    return [*front, *rest]
