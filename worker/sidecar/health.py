"""What the probes say, read from a cache: asking never touches Redis, PostgreSQL or a service.

Red lights, and what to do:

`/health/live` 503    `stalled`: no poll for 60 s though running, the loop that claims runs is dead
                      or stuck; `stopped`: the engine ended and the process did not. Restart it (a
                      liveness probe does); the runs it held come back by themselves.
                      No answer at all: a job blocks the event loop; the log names its stack.
`/health/ready` 503   `starting`: pools or migrations are not ready; if it stays so, read the log.
                      `unhealthy`: a dependency marked so failed for 10 s or more. Mend that
                      dependency; restarting the worker helps nobody.
                      `draining`: SIGTERM came; runs end or are given back. Wait.
`/health/startup` 503 the start is not through yet.
`/health/live` 503    `incomplete`: of several processes one has been away or stuck for 90 s, and
                      their supervisor did not mend it. Restart them all.
`/health` 503         as ready. 200 `degraded`: it works, but something fails: a required one since
                      less than 10 s, or one that jobs can do without. Look at `checks`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final, Literal, cast

from worker import __version__
from worker.sidecar.dependency import TIMEOUT, Check, Checked, Dependency, failure_of, look_at, tell
from worker.telemetry.logs import get_logger
from worker.telemetry.redaction import redact

__all__ = ["TIMEOUT", "Check", "Checked", "Health", "Report"]

State = Literal["starting", "running", "draining", "stopped"]
Facts = Callable[[], Mapping[str, object]]

INTERVAL: Final = timedelta(seconds=5)
STALL: Final = timedelta(seconds=60)
LOST: Final = timedelta(seconds=90)
_SIBLINGS: Final = "processes"

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """One answer: the HTTP status and the JSON body. No hosts, addresses or error texts."""

    status: HTTPStatus
    body: Mapping[str, object]


class Health:
    """The state of this worker and of what it depends on.

    `clock` counts seconds and never goes back; `wall` is the time of day, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        service: str = "deskhand",
        version: str = __version__,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._identity = {"service": service, "version": version}
        self._clock = clock
        self._wall = wall
        self._started = clock()
        self._beat = self._started
        self._state: State = "starting"
        self._dependencies: dict[str, Dependency] = {}
        self._facts: Facts = dict
        self._loop: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        return self._state

    def add(self, name: str, check: Check, *, required: bool = True) -> None:
        """Watch a dependency; `check` raises when it fails, and may return details otherwise.

        Details are not for the open endpoints (`details`), but a true `degraded` shows there.
        A required one that keeps failing makes the worker unready, another only degraded.
        Add them before `start`: a required one not yet checked means not yet ready.
        """
        self._dependencies[name] = Dependency(name, check, required, since=self._clock())

    def add_siblings(self, check: Check) -> None:
        """Watch the other processes of this group, for whoever asks any of them about all.

        One that fails makes the group unready, as a required dependency does, and after `LOST` not
        alive either: then nobody starts it again, and a restart of the whole helps.
        """
        self.add(_SIBLINGS, check)

    def describe_with(self, facts: Facts) -> None:
        """Add facts to the summary at each request: `saturated`, `paused`, `jobs_left`."""
        self._facts = facts

    def heartbeat(self) -> None:
        """Called by the engine at each poll."""
        self._beat = self._clock()

    def running(self) -> None:
        """The worker claims runs from now on, and gives a heartbeat at each poll."""
        self._state = "running"
        self.heartbeat()

    def draining(self) -> None:
        """The worker claims no more, and finishes what it has."""
        self._state = "draining"

    def stopped(self) -> None:
        """The engine has ended, as planned or not."""
        self._state = "stopped"

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Check in the background while inside."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    async def start(self) -> None:
        """Check now, and from now on every `INTERVAL` in the background."""
        if self._loop is None:
            await self.check_now()
            self._loop = asyncio.create_task(self._keep_checking(), name="health")

    async def stop(self) -> None:
        """Stop checking. The last results stay."""
        tasks = [task for task in (self._loop, *self._running_checks()) if task is not None]
        self._loop = None
        for task in tasks:
            task.cancel()
        if tasks:  # a check that does not heed its cancellation must not hold up the exit
            await asyncio.wait(tasks, timeout=TIMEOUT.total_seconds())

    async def check_now(self) -> None:
        """Run every check once, side by side, each for `TIMEOUT` at most. Never raises."""
        for dependency in self._dependencies.values():
            if dependency.task is None or dependency.task.done():
                dependency.task = asyncio.create_task(self._timed(dependency))
                dependency.task.add_done_callback(look_at)
        tasks = self._running_checks()
        if tasks:
            await asyncio.wait(tasks, timeout=TIMEOUT.total_seconds())
        for dependency in list(self._dependencies.values()):
            self._note(dependency)

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL.total_seconds())
            try:
                await self.check_now()
            except Exception:  # noqa: BLE001 - if this loop ended, the last green would stay
                _log.exception("Health checks failed")

    def _running_checks(self) -> list[asyncio.Task[Mapping[str, object]]]:
        tasks = (dependency.task for dependency in self._dependencies.values())
        return [task for task in tasks if task is not None and not task.done()]

    async def _timed(self, dependency: Dependency) -> Mapping[str, object]:
        began = self._clock()
        detail = dict(await dependency.check() or {})
        dependency.latency = self._clock() - began
        return detail

    def _note(self, dependency: Dependency) -> None:
        """Take over how the check ended; one that still runs has failed."""
        task = dependency.task
        if task is None:  # added while the others were running
            return
        now = self._clock()
        error = failure_of(task)
        if error is None:
            if dependency.failing_since is not None:
                dependency.since = now
            dependency.failing_since = None
            dependency.detail = task.result()
        elif dependency.failing_since is None:
            dependency.failing_since = dependency.since = now
        if error is not None:
            dependency.latency = None
            task.cancel()
        dependency.is_known = True
        tell(dependency, dependency.status(now), error)

    def live(self) -> Report:
        """Red when only a restart helps. Never because of a dependency."""
        if self._state == "stopped" or self._is_stalled():
            return self._report("stopped" if self._state == "stopped" else "stalled", ok=False)
        if self._state == "running" and self._has_lost_siblings():
            return self._report("incomplete", ok=False)
        return self._report("ok")

    def startup(self) -> Report:
        """Red until the worker runs."""
        is_starting = self._state == "starting"
        return self._report("starting" if is_starting else "ok", ok=not is_starting)

    def ready(self) -> Report:
        """Red when it cannot work: not yet, no more, or without what jobs need."""
        status = self._status()
        return self._report(status, ok=status in {"ok", "degraded"})

    def own(self) -> str:
        """This process's own status, whatever its siblings'."""
        return self._status(without=_SIBLINGS)

    def summary(self) -> Report:
        """As `ready`, with facts."""
        report = self.ready()
        facts: Mapping[str, object] = {}
        with contextlib.suppress(Exception):  # a probe answers, whatever the facts do
            facts = dict(self._facts())
        return Report(report.status, {**cast("dict[str, object]", redact(facts)), **report.body})

    def checked(self) -> list[Checked]:
        """Each dependency as it was checked last."""
        now = self._clock()
        return [
            Checked(
                each.name,
                each.status(now),
                datetime.fromtimestamp(self._wall() - (now - each.since), UTC),
                each.latency,
                is_known=each.is_known,
                is_failing=each.failing_since is not None,
            )
            for each in self._dependencies.values()
        ]

    def details(self) -> Mapping[str, Mapping[str, object]]:
        """What the checks returned, for people who are signed in."""
        return {name: dependency.detail for name, dependency in self._dependencies.items()}

    def _has_lost_siblings(self) -> bool:
        siblings = self._dependencies.get(_SIBLINGS)
        return siblings is not None and siblings.failed_for(self._clock()) >= LOST.total_seconds()

    def _is_stalled(self) -> bool:
        silence = self._clock() - self._beat
        return self._state == "running" and silence >= STALL.total_seconds()

    def _status(self, *, without: str = "") -> str:
        if self._state != "running":
            return self._state
        if self._is_stalled():
            return "stalled"
        now = self._clock()
        dependencies = [each for each in self._dependencies.values() if each.name != without]
        required = {each.status(now) for each in dependencies if each.is_required}
        for worst in ("unhealthy", "starting"):
            if worst in required:
                return worst
        everything = {each.status(now) for each in dependencies}
        return "degraded" if everything & {"degraded", "unhealthy"} else "ok"

    def _report(self, status: str, *, ok: bool = True) -> Report:
        body = {
            "status": status,
            "checks": {each.name: _shown(each) for each in self.checked()},
            **self._identity,
            "uptime_s": round(self._clock() - self._started, 1),
        }
        return Report(HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE, body)


def _shown(checked: Checked) -> dict[str, object]:
    latency = checked.latency
    return {
        "status": checked.status,
        "latency_ms": None if latency is None else round(latency * 1000, 1),
        "since": checked.since.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
