"""A peer's processes, held by the harness: started, warmed up, frozen, let go, killed.

A drain is measured from the first start of a job to the end of the last, as the workers saw it.
For several processes to start at once, they are started on an empty queue, stopped by SIGSTOP,
and let go when all jobs are there; so neither start-up nor enqueuing is part of any figure.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.benchmarks.measure import group_seconds
from tests.benchmarks.orders import BenchmarkError, Enqueuer, end_with_parent, last_line
from tests.benchmarks.peer import ROOT, Peer, Setup, environment
from tests.benchmarks.tally import Tallies

_START_WITHIN = 40.0  # seconds
_WARM_UP = 50  # jobs a process
_QUIET = 0.1  # of a core: below it a worker has done what it had to; polling alone costs 0.05
_QUIET_WITHIN = 8.0  # seconds
_GLANCE = 0.25  # seconds


class Workers:
    """All worker processes of one peer on one queue, and the process that enqueues for them."""

    def __init__(self, peer: Peer, setup: Setup, processes: int) -> None:
        self.peer = peer
        self.setup = setup
        self.tallies = Tallies(setup.tallies)
        self.enqueuer = Enqueuer(peer, setup)
        self._count = processes
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start them, and wait until all of them wait for jobs. Raises BenchmarkError."""
        self._processes = [self._started() for _ in range(self._count)]
        self.wait(lambda: self.tallies.ready() == self._count, _START_WITHIN, "starting")

    def _started(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self.peer.worker_command(self.setup),
                cwd=ROOT,
                env=environment(self.peer, self.setup),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - only a system call
            )

    @property
    def _log(self) -> Path:
        return self.setup.tallies / "worker.log"

    def warm_up(self) -> None:
        """Have each of them run some jobs, which then do not count."""
        jobs = _WARM_UP * self._count
        self.enqueuer.ask("fill", -jobs, jobs)
        self.wait_for(jobs, _START_WITHIN)
        time.sleep(_GLANCE)  # what they write after a job, and looking for more
        self.tallies.mark()

    def wait(self, condition: Callable[[], bool], within: float, doing: str) -> None:
        """Poll `condition`. Raises BenchmarkError when a worker ends, or after `within` seconds."""
        deadline = time.monotonic() + within
        while not condition():
            codes = [process.poll() for process in self._processes]
            ended = [code for code in codes if code is not None]
            if ended:
                raise BenchmarkError(f"ended with {ended[0]} while {doing}: {last_line(self._log)}")
            if time.monotonic() > deadline:
                ran = self.tallies.count()
                raise BenchmarkError(
                    f"{ran} jobs after {within:.0f} s of {doing}: {last_line(self._log)}"
                )
            time.sleep(0.005)

    def wait_for(self, jobs: int, within: float) -> None:
        """Until so many have run since the warm-up."""
        self.wait(lambda: self.tallies.count() >= jobs, within, f"running {jobs} jobs")

    def settle(self) -> None:
        """Wait until they have done what follows the last job: results, records, events."""
        deadline = time.monotonic() + _QUIET_WITHIN
        before = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(_GLANCE)
            now = self.cpu_seconds()
            if now - before < _GLANCE * _QUIET * self._count:
                return
            before = now

    def idle(self, seconds: float) -> None:
        """Leave them to themselves."""
        deadline = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > deadline, seconds + 1, "waiting")

    def cpu_seconds(self) -> float:
        return sum(group_seconds(process.pid) for process in self._processes)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def let_go(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Nothing they hold is needed any more."""
        self.enqueuer.kill()
        self._signal(signal.SIGKILL)
        for process in self._processes:
            process.wait()

    def _signal(self, signum: signal.Signals) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signum)


@contextmanager
def held(peer: Peer, setup: Setup, *, processes: int = 1) -> Iterator[Workers]:
    """Workers that are yet to start, and their enqueuer; all are killed at the end."""
    workers = Workers(peer, setup, processes)
    try:
        yield workers
    finally:
        workers.kill()
