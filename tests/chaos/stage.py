"""Begins faults, and sees to it that each is over when its time is up."""

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.fleet import Fleet, WorkerProcess
from tests.chaos.plan import Fault, What
from tests.chaos.world import World
from worker.clock import utc_now

_TICK = 0.02  # seconds


@dataclass
class Stage:
    """Where faults are played. What is done now is undone later, by the clock."""

    world: World
    fleet: Fleet
    done: Counter[What] = field(default_factory=Counter)
    _later: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _serial: "itertools.count[int]" = field(default_factory=itertools.count)

    def at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._later, (moment, next(self._serial), action))

    def tick(self) -> bool:
        """Do what is due; false when nothing is left to do."""
        while self._later and self._later[0][0] <= time.monotonic():
            heapq.heappop(self._later)[2]()
        self.fleet.tend()
        time.sleep(_TICK)
        return bool(self._later)

    def play(self, fault: Fault) -> None:
        """Begin a fault, and see to its end."""
        undo = self._begin(fault)
        if undo is not None:
            self.done[fault.what] += 1
            self._note(fault)
            self.at(time.monotonic() + fault.length, undo)

    def _note(self, fault: Fault) -> None:
        """By the clock of the workers' logs, and by that of the marks."""
        times = f"{utc_now():%H:%M:%S.%f} {time.monotonic():.3f}"
        with (self.world.directory / "faults.log").open("a") as log:
            log.write(f"{times} {fault.what} for {fault.length:.2f} s\n")

    def _begin(self, fault: Fault) -> Callable[[], None] | None:
        match fault.what:
            case What.REDIS_KILL:
                self.world.valkey.kill()
                return self.world.valkey.start
            case What.REDIS_FREEZE:
                self.world.valkey.freeze()
                return self.world.valkey.thaw
            case What.POSTGRES_KILL | What.POSTGRES_RESTART:
                self.world.postgres.stop(is_immediate=fault.what is What.POSTGRES_KILL)
                return self.world.postgres.start
            case What.CUT | What.SLOW | What.SILENCE | What.SILENCE_THEN_RESET:
                return self._begin_on_the_line(fault)
            case _:
                return self._begin_with_a_worker(fault)

    def _begin_on_the_line(self, fault: Fault) -> Callable[[], None]:
        proxy, call = self.world.proxy, self.world.background.call
        match fault.what:
            case What.CUT:
                call(proxy.cut)
                return _nothing
            case What.SLOW:
                call(lambda: proxy.slow_down(0.02 + 0.1 * fault.chance))
                return lambda: call(lambda: proxy.slow_down(0))
            case _:
                is_lost = fault.what is What.SILENCE_THEN_RESET
                call(lambda: proxy.hush(requests=fault.chance < 0.5))
                return lambda: call(lambda: proxy.speak(is_lost=is_lost))

    def _begin_with_a_worker(self, fault: Fault) -> Callable[[], None] | None:
        steady = self.fleet.steady()
        if not steady:
            return None
        worker = steady[int(fault.chance * len(steady))]
        match fault.what:
            case What.WORKER_KILL:
                self.fleet.kill(worker)
            case What.WORKER_TERM:
                self.fleet.terminate(worker)
            case _:
                self.fleet.freeze(worker)
                return lambda: self._thaw(worker)
        return _nothing

    def _thaw(self, worker: WorkerProcess) -> None:
        if worker.ended is None:
            self.fleet.thaw(worker)


def _nothing() -> None:
    pass
