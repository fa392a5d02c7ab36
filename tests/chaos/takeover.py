"""How soon another worker has the runs of one that is gone, with a job that may take two hours."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from tests.chaos.fleet import Fleet, WorkerProcess
from tests.chaos.marks import begun
from tests.chaos.orders import HOLD, KINDS, Order
from tests.chaos.producers import Accepted, produce
from tests.chaos.world import World

_RUNS = 5
_READY_WITHIN = 60  # seconds


@dataclass(frozen=True, slots=True)
class Takeover:
    """Seconds until the last of the runs began elsewhere, and how many are allowed."""

    after: str
    seconds: float
    allowed: float

    @property
    def is_in_time(self) -> bool:
        return self.seconds <= self.allowed

    @override
    def __str__(self) -> str:
        return f"after {self.after}: {self.seconds:.2f} s (allowed: {self.allowed:g} s)"


class _Scene:
    def __init__(self, world: World, fleet: Fleet, accepted: Accepted) -> None:
        self._world = world
        self._fleet = fleet
        self._accepted = accepted
        self._trials = 0
        self.held = [Order(f"hold-{number}", HOLD, {}) for number in range(_RUNS)]

    def enqueue(self, orders: list[Order]) -> None:
        work = produce(self._world.proxy.port, orders, self._accepted, seconds=0)
        self._world.background.run(work)

    def start_worker(self) -> WorkerProcess:
        """A worker that claims: it has begun a run."""
        worker = self._fleet.start()
        deadline = time.monotonic() + _READY_WITHIN
        while not worker.marks.exists():
            # Whoever is there already may be quicker, so there is always one more.
            self._trials += 1
            self.enqueue([Order(f"trial-{self._trials}", KINDS[0], {})])
            _wait(worker.marks.exists, until=min(time.monotonic() + 0.2, deadline))
            if time.monotonic() > deadline:
                raise TimeoutError(f"{worker.name} does not work: {worker.last_words()}")
        return worker

    def taken_over(self, worker: WorkerProcess, since: int, allowed: float) -> float:
        """Seconds from `since` until all held runs began on `worker`."""
        deadline = time.monotonic() + 2 * allowed + 10
        wanted = {order.run_id for order in self.held}
        _wait(lambda: wanted <= begun(worker.marks).keys(), until=deadline)
        times = begun(worker.marks)
        return (max(times.get(run_id, time.monotonic_ns()) for run_id in wanted) - since) / 1e9


def measure(world: World, *, lease: float, accepted: Accepted) -> tuple[list[Takeover], Fleet]:
    """Kill a worker, and ask the next to stop without grace; its runs go on elsewhere."""
    fleet = Fleet(world.directory, world.environment(lease=lease, grace=0), name="takeover")
    try:
        return list(_takeovers(_Scene(world, fleet, accepted), fleet, lease)), fleet
    finally:
        let_go(world.directory)
        fleet.stop()


def _takeovers(scene: _Scene, fleet: Fleet, lease: float) -> list[Takeover]:
    first = scene.start_worker()
    scene.enqueue(scene.held)
    _wait(
        lambda: len(begun(first.marks).keys() & {order.run_id for order in scene.held}) == _RUNS,
        until=time.monotonic() + _READY_WITHIN,
    )
    second = scene.start_worker()
    killed_at = time.monotonic_ns()
    fleet.kill(first)
    after_kill = Takeover("SIGKILL", scene.taken_over(second, killed_at, lease + 5), lease + 5)
    third = scene.start_worker()
    told_at = time.monotonic_ns()
    fleet.terminate(second)
    after_term = Takeover("SIGTERM", scene.taken_over(third, told_at, 1), 1)
    return [after_kill, after_term]


def let_go(directory: Path) -> None:
    """Let the held runs end."""
    (directory / "let-go").touch()


def _wait(condition: Callable[[], bool], *, until: float) -> None:
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
