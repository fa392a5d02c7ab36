"""What is asked over HTTP: a worker process, and the least that one could write instead."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from tests.benchmarks.orders import end_with_parent
from tests.benchmarks.peer import ROOT
from tests.benchmarks.servers import Servers
from tests.benchmarks.tally import Tallies
from tests.ports import free_port

_SLOTS = 100
_ALL = "1000000"
_WITHIN = 30.0  # seconds until it answers


@dataclass(frozen=True, slots=True)
class Port:
    """Where one asks, with which token, which status is a success of an enqueue; whose it is."""

    number: int
    token: str
    status: int
    pid: int


@contextmanager
def worker_server(
    servers: Servers, database_url: str, directory: Path, *, queue: str, capacity: int = 1
) -> Iterator[tuple[Port, Tallies]]:
    """A worker of one queue, as it is shipped: with all its checks, and its ledger."""
    place = Path(tempfile.mkdtemp(dir=directory))
    number, token = free_port(), token_hex(32)
    environment = {
        "REDIS_URL": servers.redis_url,
        "DATABASE_URL": database_url,
        "ADMIN_TOKEN": token,
        "API_RATE": "0",
        "LOG_LEVEL": "warning",
        "LOG_RUNS": "none",
        "VAR_DIR": str(place / "var"),
        "WORKER_QUEUES": queue,
        "QUEUE_CONCURRENCY": json.dumps({queue: _SLOTS}),
        "SCHEDULER": "false",
        "KEEP_COMPLETED": _ALL,
        "KEEP_FAILED": _ALL,
        "BENCH_TALLIES": str(place),
        "BENCH_CAPACITY": str(capacity),
    }
    app = "tests.benchmarks.peers.deskhand_app.WorkerSettings"
    with _process(["-m", "arq", app], number, "/health/ready", environment) as pid:
        tallies = Tallies(place)
        while not tallies.ready():
            time.sleep(0.05)
        yield Port(number, token, 202, pid), tallies


@contextmanager
def bare_server(redis_url: str) -> Iterator[Port]:
    """An aiohttp application around stock ARQ's pool."""
    number, environment = free_port(), {"BENCH_REDIS_URL": redis_url}
    with _process(["-m", "tests.benchmarks.peers.bare_http"], number, "/", environment) as pid:
        yield Port(number, "", 200, pid)


@contextmanager
def _process(
    arguments: Sequence[str], port: int, path: str, environment: Mapping[str, str]
) -> Iterator[int]:
    """Yields its process id."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, "PORT": str(port), **environment},
        preexec_fn=end_with_parent,  # noqa: PLW1509 - only a system call
    )
    try:
        _wait(process, f"http://127.0.0.1:{port}{path}")
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Until it answers. Raises SystemExit."""
    end = time.monotonic() + _WITHIN
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - our own, on this machine
        except urllib.error.HTTPError as error:
            if error.code == 404:  # it answers
                return
        except OSError:
            pass
        else:
            return
        time.sleep(0.05)
    raise SystemExit(f"{url} does not answer")
