"""What all rules stand on: workers, the real Redis, the model, and the choice of runs."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from jobs.kit import QUEUES
from tests.worker.engine.machine.model import Model, ModelRun
from tests.worker.engine.machine.state import check
from worker.engine.claims import Claim
from worker.engine.scripts import script
from worker.engine.store import RunStore, Tick

SERVED = (QUEUES["default"], QUEUES["email"])
# Few, so that things meet: each of these ids lives many lives, and belongs to one queue.
NAMES = {**dict.fromkeys("ab", SERVED[0]), "c": SERVED[1]}
LEASES = {f"w{number}": timedelta(minutes=10 * number) for number in (1, 2)}
HOUR_MS = 3_600_000


@dataclass
class ModelWorker:
    """What one worker knows; `claims` keeps those that it has lost or ended, too."""

    worker_id: str
    store: RunStore
    lease_ms: int
    claims: list[Claim] = field(default_factory=list)
    sent: list[tuple[Tick, str]] = field(default_factory=list)


class Stage(RuleBasedStateMachine):
    """One example: `redis` is emptied first."""

    redis: ClassVar["Redis"]

    @initialize()
    def begin(self) -> None:
        self.redis.flushall()
        self.scripts = {
            name: self.redis.register_script(script(name).text)
            for name in ("tick", "renew", "enqueue")
        }
        # Numbers everything; past scores too, whose order must not hang on the clock.
        self.serial = itertools.count(10)
        self.model = Model()
        self.was_emptied = False
        self.workers = {
            name: ModelWorker(
                name,
                # Only its words are asked for; they are sent from here.
                RunStore(AsyncRedis(), queues=SERVED, worker_id=name, lease=lease),
                int(lease / timedelta(milliseconds=1)),
            )
            for name, lease in LEASES.items()
        }

    @invariant()
    def redis_is_as_the_model_says(self) -> None:
        check(self.redis, self.model, SERVED)

    def some(self, is_fit: Callable[[ModelRun], bool]) -> bool:
        return any(map(is_fit, self.model.runs.values()))

    def draw_run(self, data: st.DataObject, is_fit: Callable[[ModelRun], bool]) -> ModelRun:
        fit = [run.run_id for run in self.model.runs.values() if is_fit(run)]
        return self.model.runs[data.draw(st.sampled_from(fit))]

    def now(self) -> int:
        seconds, _ = self.redis.time()  # type: ignore[misc]  # redis-py: sync or async
        return 1000 * int(seconds)

    def set_due(self, run: ModelRun) -> None:
        """Now, by the model; in Redis as long ago as makes the order in the queue certain."""
        self.redis.zadd(run.queue.key, {run.run_id: next(self.serial)})
        run.is_due = True
