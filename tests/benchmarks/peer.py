"""Who is compared, and with which commands its worker and its enqueuing side start."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-bench"
NODE_HOME = ROOT / "var" / "bench"
_PEERS = "tests.benchmarks.peers"


class Home(Enum):
    """The environment that a peer runs in."""

    PROJECT = "this environment"
    VENV = ".venv-bench"
    NODE = "node"

    def interpreter(self) -> str:
        match self:
            case Home.PROJECT:
                return sys.executable
            case Home.VENV:
                return str(VENV / "bin" / "python")
            case Home.NODE:
                return shutil.which("node") or "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a worker and its enqueuing side are started with. `seconds` is how long a job sleeps."""

    redis_url: str
    database_url: str
    tallies: Path
    slots: int
    seconds: float = 0.0
    capacity: int = 1000
    variant: str = ""

    def environment(self) -> dict[str, str]:
        return {
            "BENCH_REDIS_URL": self.redis_url,
            "BENCH_DATABASE_URL": self.database_url,
            "BENCH_TALLIES": str(self.tallies),
            "BENCH_SLOTS": str(self.slots),
            "BENCH_SECONDS": str(self.seconds),
            "BENCH_CAPACITY": str(self.capacity),
            "BENCH_VARIANT": self.variant,
        }


def _nothing(setup: Setup) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One runner. `rate` is about how many no-op jobs it does in a second: it sizes the runs."""

    name: str
    home: Home
    worker: tuple[str, ...]
    client: tuple[str, ...]
    rate: int
    slots: int = 100
    variant: str = ""
    settings: Callable[[Setup], Mapping[str, str]] = _nothing
    needs_schema: bool = False

    def worker_command(self, setup: Setup) -> list[str]:
        words = (word.replace("{slots}", str(setup.slots)) for word in self.worker)
        return [self.home.interpreter(), *words]

    def client_command(self) -> list[str]:
        return [self.home.interpreter(), *self.client]


def environment(peer: Peer, setup: Setup) -> dict[str, str]:
    """Of the caller's only what programs need to start: no setting of the machine's own."""
    setup = setup if setup.variant else replace(setup, variant=peer.variant)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **setup.environment(), **peer.settings(setup)}


def _deskhand_settings(setup: Setup) -> dict[str, str]:
    is_logged = setup.variant == "logged"
    return {
        "DATABASE_URL": setup.database_url,
        "REDIS_URL": setup.redis_url,
        "VAR_DIR": str(setup.tallies / "var"),
        "PORT": "0",
        "WORKER_QUEUES": "default",
        "QUEUE_CONCURRENCY": f'{{"default": {setup.slots}}}',
        "LOG_LEVEL": "info" if is_logged else "warning",
        "LOG_RUNS": "all" if is_logged else "none",
        "LOG_FORMAT": "json",
    }


def _module(name: str) -> tuple[str, ...]:
    return ("-m", f"{_PEERS}.{name}")


DESKHAND = Peer(
    name="deskhand",
    home=Home.PROJECT,
    worker=("-m", "arq", f"{_PEERS}.deskhand_app.WorkerSettings"),
    client=_module("deskhand"),
    rate=20_000,
    settings=_deskhand_settings,
    needs_schema=True,
)
ARQ = Peer(
    name="arq",
    home=Home.PROJECT,
    worker=(*_module("stock_arq"), "worker"),
    client=_module("stock_arq"),
    rate=1_500,
    variant="tuned",
)
ARQ_DEFAULT = Peer(
    name="arq-default",
    home=Home.PROJECT,
    worker=ARQ.worker,
    client=ARQ.client,
    rate=350,
    slots=10,
)
SAQ = Peer(
    name="saq",
    home=Home.VENV,
    worker=(*_module("saq"), "worker"),
    client=_module("saq"),
    rate=1_800,
)

TASKIQ = Peer(
    name="taskiq",
    home=Home.VENV,
    worker=(
        "-m",
        "taskiq",
        "worker",
        f"{_PEERS}.taskiq_app:broker",
        "--workers",
        "1",
        "--max-async-tasks",
        "{slots}",
        "--log-level",
        "WARNING",
    ),
    client=_module("taskiq"),
    rate=1_400,
)
STREAQ = Peer(
    name="streaq",
    home=Home.VENV,
    worker=(*_module("streaq"), "worker"),
    client=_module("streaq"),
    rate=1_000,
)
PGQUEUER = Peer(
    name="pgqueuer",
    home=Home.VENV,
    worker=(*_module("pgqueuer"), "worker"),
    client=_module("pgqueuer"),
    rate=9_000,
    needs_schema=True,
)
_NODE_SIDE = str(NODE_HOME / "bullmq.mjs")
BULLMQ = Peer(
    name="bullmq",
    home=Home.NODE,
    worker=(_NODE_SIDE, "worker"),
    client=(_NODE_SIDE,),
    rate=9_000,
)
PEERS = (DESKHAND, ARQ, ARQ_DEFAULT, SAQ, TASKIQ, STREAQ, BULLMQ, PGQUEUER)
