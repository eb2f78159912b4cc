"""The embedded server: a real Valkey, started when no Redis address is configured, gone when nobody uses it.

    user ──shared lock──┐                       ┌── starts, restarts, stops
    user ──shared lock──┼── guardian (process) ─┤
    user ──shared lock──┘  waits for the lock   └── server (process), unix socket, append-only file

Each program that uses a data directory holds a lock on it, shared. The first one spawns the guardian, the
server's parent, detached from any terminal. When the guardian gets that lock for itself, nobody is left,
whether they closed or were killed, and it shuts the server down.
"""

from hybrid.server.embedded import EmbeddedServer, Lease, open_embedded

__all__ = ["EmbeddedServer", "Lease", "open_embedded"]
