"""The few words that we speak with the server before any client does, and after the last one."""

from __future__ import annotations

import socket
from pathlib import Path


def ask(path: Path, *words: str, timeout: float = 1.0) -> str:
    """Send one inline command over a unix socket and return the reply: text, `+status` or `-error`.

    Returns "" for nil, and when the server hangs up instead, as after SHUTDOWN. Raises OSError when nobody
    answers within `timeout` seconds.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(timeout)
        line.connect(str(path))
        line.sendall((" ".join(words) + "\r\n").encode())
        with line.makefile("rb") as replies:
            head = replies.readline().decode().rstrip()
            return replies.read(max(0, int(head[1:]))).decode() if head.startswith("$") else head


def answers(path: Path) -> bool:
    """Return whether a server serves on this socket now."""
    try:
        return ask(path, "PING") == "+PONG"
    except OSError:
        return False
