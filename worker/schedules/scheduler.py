"""Fires what is due: in every worker, and none of them leads."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import asyncpg

from worker.background import cancel
from worker.clock import utc_now
from worker.schedules.changing import declare
from worker.schedules.firing import MOST, fire_due
from worker.schedules.plan import Plan
from worker.schedules.queries import Db, next_due
from worker.telemetry.logs import get_logger

_LONGEST = 5.0  # seconds between two looks: so late may a new schedule of somebody's be, at most
_WAITING = 0.5  # the same, while something is due whose run before goes on, or that another fires
_DECLARE_EVERY = 60.0  # seconds
_PATIENCE = 10.0  # seconds for one look
_SILENT = 60.0  # seconds without a look, after which something is wrong
_PAUSES = (0.5, 5.0)  # seconds between tries while PostgreSQL is away
_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)
_log = get_logger(__name__)


class Scheduler:
    """Run `run()` in the background. `plans` are this version's schedules by name, `jobs` those
    that people may set up schedules for.
    """

    def __init__(self, db: Db, plans: Mapping[str, Plan], *, jobs: Sequence[str] = ()) -> None:
        self._db = db
        self._plans = plans
        self._names = list(plans)
        self._jobs = jobs
        self._started_at = utc_now()
        self._declared_at = float("-inf")
        self._looked_at = time.monotonic()
        self._is_away = self._is_more = False
        self._step: asyncio.Task[float] | None = None

    async def run(self) -> None:
        """For ever; troubles are logged and waited out, and what was due then is caught up."""
        pause = _PAUSES[0]
        try:
            while True:
                try:
                    wait = await self._look()
                    self._looked_at, self._is_away, pause = time.monotonic(), False, _PAUSES[0]
                except _AWAY as error:
                    if not self._is_away:
                        _log.warning("Schedules wait", error_type=type(error).__name__)
                    self._is_away, wait = True, pause
                    pause = min(pause * 2, _PAUSES[1])
                except Exception:  # noqa: BLE001 - the others' ticks are not to be lost with one's
                    _log.exception("Schedules failed, and go on")
                    wait = _PAUSES[1]
                await asyncio.sleep(wait)
        finally:
            await cancel([] if self._step is None else [self._step])

    async def _look(self) -> float:
        """A step, for `_PATIENCE` at most. One whose PostgreSQL hangs may take a minute to be
        cancelled (the driver waits for its connection): until then there is no other.
        """
        if self._step is None:
            self._step = asyncio.create_task(self.step(), name="schedules")
        step = self._step
        await asyncio.wait({step}, timeout=_PATIENCE)
        if not step.done():
            step.cancel()
            raise TimeoutError
        self._step = None
        if step.cancelled():
            raise TimeoutError
        return step.result()

    async def declare(self, *, only_new: bool = False) -> None:
        """Have PostgreSQL know these schedules; a minute later if somebody holds one of them.

        With `only_new`, for a process that fires none: those who do say when they are due.
        """
        try:
            await declare(self._db, self._plans, since=self._started_at, only_new=only_new)
        except asyncpg.LockNotAvailableError:
            _log.warning("Schedules are declared later: somebody holds one")
        self._declared_at = time.monotonic()

    async def step(self) -> float:
        """Fire what is due; returns in how many seconds to look again."""
        if time.monotonic() - self._declared_at >= _DECLARE_EVERY:
            await self.declare()
        is_due, seconds = True, None
        if not self._is_more:  # of ten thousand schedules that takes as long as to fire some
            is_due, seconds = await next_due(self._db, self._names, self._jobs)
        fired = await fire_due(self._db, self._names, self._jobs) if is_due else 0
        self._is_more = fired >= MOST
        if fired:
            return 0
        longest = _WAITING if is_due else _LONGEST
        return longest if seconds is None else min(seconds, longest)

    @property
    def name(self) -> str:
        """As the status block and health call it."""
        return "scheduler"

    def status(self) -> str | None:
        """Why this process looks after no schedules; None when it does."""
        silence = time.monotonic() - self._looked_at
        return None if silence < _SILENT else f"did not look for {silence:.0f} s"
