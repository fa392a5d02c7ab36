"""Where mails of the benchmark go to, and the worker that sends them."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.orders import end_with_parent
from tests.benchmarks.peer import ROOT
from tests.benchmarks.peers.mail_job import SENDER
from tests.benchmarks.servers import Servers
from tests.benchmarks.tally import Tallies
from tests.ports import free_port

_WITHIN = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Relay:
    """aiosmtpd: its port, its processes, and the file with the recipient of each mail."""

    port: int
    pids: tuple[int, ...]
    received: Path

    def counted(self) -> Counter[str]:
        return Counter(self.received.read_text().split())


@dataclass(frozen=True, slots=True)
class Worker:
    pid: int
    tallies: Tallies

    def megabytes(self) -> float:
        """Resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def mail_relay(
    directory: Path, *, processes: int, delay: float, offers_pipelining: bool
) -> Iterator[Relay]:
    """Some processes on one port; with `delay` milliseconds each way, which one more adds."""
    place = Path(tempfile.mkdtemp(dir=directory))
    port, received = free_port(), place / "received"
    received.touch()
    words = [str(port), str(received), *(["PIPELINING"] if offers_pipelining else [])]
    with ExitStack() as stack:
        pids = tuple(
            stack.enter_context(_process(["-m", "tests.benchmarks.peers.mail_relay", *words])).pid
            for _ in range(processes)
        )
        _wait_for(port)
        time.sleep(0.5)  # the others listen, too
        if delay:
            words = [str(port), str(os.getpid()), str(delay)]
            proxy = stack.enter_context(
                _process(["-m", "tests.benchmarks.proxy", *words], is_read=True)
            )
            assert proxy.stdout is not None
            port = int(proxy.stdout.readline())
        yield Relay(port, pids, received)


@contextmanager
def mail_worker(
    servers: Servers, database_url: str, directory: Path, port: int, *, slots: int, capacity: int
) -> Iterator[Worker]:
    """A worker as it is shipped, whose mails go to that port."""
    place = Path(tempfile.mkdtemp(dir=directory))
    environment = {
        "REDIS_URL": servers.redis_url,
        "DATABASE_URL": database_url,
        "PORT": "0",
        "LOG_LEVEL": "warning",
        "LOG_RUNS": "none",
        "VAR_DIR": str(place / "var"),
        "WORKER_QUEUES": "default",
        "QUEUE_CONCURRENCY": json.dumps({"default": slots}),
        "SCHEDULER": "false",
        "EMAIL_PROVIDER": "smtp",
        "EMAIL_FROM": f"{SENDER.name} <{SENDER.address}>",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(port),
        "SMTP_SECURITY": "none",
        "BENCH_TALLIES": str(place),
        "BENCH_CAPACITY": str(capacity),
    }
    app = "tests.benchmarks.peers.deskhand_app.WorkerSettings"
    with _process(["-m", "arq", app], environment) as process:
        tallies, end = Tallies(place), time.monotonic() + _WITHIN
        while not tallies.ready():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the worker does not start")
            time.sleep(0.05)
        yield Worker(process.pid, tallies)


@contextmanager
def _process(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    is_read: bool = False,
) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, **(environment or {})},
        stdout=subprocess.PIPE if is_read else None,
        text=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - only a system call
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _wait_for(port: int) -> None:
    end = time.monotonic() + _WITHIN
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the relay does not listen")
