"""Asking the person at the terminal."""

from __future__ import annotations

import sys

import typer

from cli.output import err
from cli.reading import BadInput


def confirm(question: str) -> None:
    """Ask on the terminal. Ends the command when the answer is no; raises BadInput when nobody answers."""
    if not agreed(question):
        err("nothing was changed")
        raise typer.Exit(1)


def agreed(question: str) -> bool:
    """Ask on the terminal, and return whether the answer is yes. Raises BadInput when nobody answers."""
    err(f"{question} [y/N]")
    answer = sys.stdin.readline()
    if not answer:
        raise BadInput("nobody answered, and nothing was changed: --yes does it without asking")
    return answer.strip().lower() in ("y", "yes")
