"""Worker processes: started, replaced, killed, asked to stop, and frozen."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

from tests.chaos import marks

_ERROR = re.compile(r"^\[[^]]*\] \[ERROR\] ([^{\n]*[^{\n ])", re.MULTILINE)
ROOT = Path(__file__).parents[2]
_PATIENCE = 60  # seconds that a worker may take to stop: its grace, and a Redis that is away


@dataclass(eq=False)
class WorkerProcess:
    """One process. Instants are `time.monotonic_ns`; `stops` are the times it was frozen."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    marks: Path
    ended: int | None = None
    told_at: float | None = None
    is_frozen: bool = False
    is_killed: bool = False
    stops: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_steady(self) -> bool:
        """Has worked, and nobody has done anything to it yet that is not over."""
        return (
            self.ended is None
            and self.told_at is None
            and not self.is_frozen
            and self.marks.exists()
        )

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:])


class Fleet:
    """`size` workers that serve at any time, or are being started."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        *,
        name: str,
        app: str = "tests.chaos.app",
    ) -> None:
        self._app = app
        self._directory = directory
        self._environment = environment
        self._name = name
        self._size = 0
        self.all: list[WorkerProcess] = []
        self.troubles: list[str] = []

    def start(self) -> WorkerProcess:
        """One more worker."""
        name = f"{self._name}-{len(self.all)}"
        environment = {
            **self._environment,
            "PYTHONPATH": str(ROOT),
            marks.DIRECTORY: str(self._directory),
            marks.WORKER: name,
        }
        log = self._directory / "logs" / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "arq", f"{self._app}.WorkerSettings"],
                cwd=self._directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        worker = WorkerProcess(name, process, log, self._directory / "marks" / name)
        self.all.append(worker)
        return worker

    def keep(self, size: int) -> None:
        """From now on `tend` replaces whoever is gone or going."""
        self._size = size
        self.tend()

    def tend(self) -> None:
        """See who ended, and start as many as are missing."""
        for worker in self.all:
            if worker.ended is None and worker.process.poll() is not None:
                self._note_end(worker)
            if worker.told_at is not None and time.monotonic() - worker.told_at > _PATIENCE:
                self.troubles.append(
                    f"{worker.name} did not stop within {_PATIENCE} s: {worker.last_words()}"
                )
                self.kill(worker)
        serving = sum(worker.ended is None and worker.told_at is None for worker in self.all)
        for _ in range(self._size - serving):
            self.start()

    def steady(self) -> list[WorkerProcess]:
        """Whom a fault may meet: never the last one that works."""
        steady = [worker for worker in self.all if worker.is_steady]
        return steady if len(steady) > 1 else []

    def kill(self, worker: WorkerProcess) -> None:
        worker.is_killed = True
        worker.told_at = None
        worker.process.send_signal(SIGKILL)
        worker.process.wait()
        worker.ended = time.monotonic_ns()

    def terminate(self, worker: WorkerProcess) -> None:
        worker.told_at = time.monotonic()
        worker.process.send_signal(SIGTERM)

    def freeze(self, worker: WorkerProcess) -> None:
        worker.is_frozen = True
        worker.stops.append((time.monotonic_ns(), 0))
        worker.process.send_signal(SIGSTOP)

    def thaw(self, worker: WorkerProcess) -> None:
        worker.is_frozen = False
        worker.process.send_signal(SIGCONT)
        worker.stops[-1] = (worker.stops[-1][0], time.monotonic_ns())

    def stop(self) -> None:
        """Ask all to stop, and wait until they did."""
        self._size = 0
        for worker in self.all:
            if worker.ended is None and worker.told_at is None:
                self.terminate(worker)
        while any(worker.ended is None for worker in self.all):
            self.tend()
            time.sleep(0.05)

    def errors(self) -> Counter[str]:
        """What all of them logged as errors, but for the dead letters that were asked for."""
        found = Counter[str]()
        for worker in self.all:
            found.update(_ERROR.findall(worker.log.read_text(errors="replace")))
        del found["Run dead-lettered"]
        return found

    def end(self) -> None:
        """Whatever they do, they are gone."""
        for worker in self.all:
            if worker.process.poll() is None:
                self.kill(worker)

    def _note_end(self, worker: WorkerProcess) -> None:
        worker.ended = time.monotonic_ns()
        code, worker.told_at, was_told = worker.process.returncode, None, worker.told_at is not None
        # A start may meet servers that are away; whoever has worked ends when told, and with 0.
        if (was_told and code != 0) or (not was_told and worker.marks.exists()):
            self.troubles.append(f"{worker.name} ended with {code}: {worker.last_words()}")
