"""The status block: every minute the log says of each thing that works that it does, or why not.

    📊 Worker Status:
    ✅ email: 3 running, 12 waiting, 120 done, 1 failed
    ❌ Redis: away since 12:01 UTC

In text each line is a record of its own, so that every line of the log has one form; in JSON the
block is one record with `workers: [{"name", "is_well", "reason"}]`. What is not well is a WARNING.
Numbers are the whole cluster's: running and waiting now, done and failed in the last minute.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError
from typing_extensions import override

from jobs.kit import Queue
from worker.clock import utc_now
from worker.ending import State
from worker.engine.fleet import totals
from worker.overview import MINUTE, TIMEOUT, Overview, QueueView, Rate, Rates, read_overview
from worker.parts import Part, UnwellError, check_of
from worker.settings import Settings
from worker.sidecar.health import Checked, Health
from worker.telemetry.logs import Format, get_logger

TITLE: Final = "📊 Worker Status:"
_SAMPLE_EVERY: Final = 15.0  # seconds
_LONG: Final = 45.0  # seconds that a due run may wait beside free slots
_TITLES: Final = {"redis": "Redis", "postgres": "PostgreSQL"}
_DONE: Final = (State.SUCCEEDED, State.CANCELLED, State.EXPIRED)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the block: `reason` when it is not well, else `text`; and numbers besides."""

    name: str
    reason: str | None
    text: str = "running"
    numbers: Mapping[str, int] = field(default_factory=dict)

    @override
    def __str__(self) -> str:
        return (
            f"✅ {self.name}: {self.text}"
            if self.reason is None
            else f"❌ {self.name}: {self.reason}"
        )


class Status:
    """`served` are the queues of this process; `every` seconds there is a block, 0: never.

    Of several processes of one command only one tells of the queues (`tells_queues`).
    """

    def __init__(
        self,
        redis: Redis,
        health: Health,
        queues: Sequence[Queue],
        *,
        served: Collection[str],
        every: float,
        log_format: Format,
        tells_queues: bool = True,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._redis = redis
        self._health = health
        self._queues = queues
        self._served = served
        self._every = every
        self._is_json = log_format == "json"
        self._tells_queues = tells_queues
        self._clock = clock
        self._parts: list[Part] = []
        # Since when (by the monotonic clock) a run has been the next of its queue.
        self._next: dict[str, tuple[str, float]] = {}
        self._stuck: list[str] = []
        self._read: tuple[float, Overview] | None = None
        self.rates = Rates()
        health.add("queues", self._check_queues, required=False)

    @classmethod
    def of(
        cls, settings: Settings, redis: Redis, health: Health, *, tells_queues: bool = True
    ) -> "Status":
        """As the settings say."""
        return cls(
            redis,
            health,
            list(settings.queues().values()),
            served=settings.worker_queues,
            every=settings.status_every,
            log_format=settings.log_format,
            tells_queues=tells_queues,
        )

    def watch(self, part: Part, *, required: bool = False) -> None:
        """Tell of this part in each block, and as a check of its name in `/health`.

        When a required one is not well for some seconds, this process is not ready (503); another
        one makes it `degraded`. Watch a required one before health starts.
        """
        self._parts.append(part)
        self._health.add(part.name, check_of(part), required=required)

    async def run(self) -> None:
        """Print blocks for ever, and sample what ended."""
        next_block = time.monotonic() + (self._every or MINUTE)
        next_sample = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= next_sample:
                next_sample = now + _SAMPLE_EVERY
                await self._sample()
            if now >= next_block:
                next_block = max(next_block + (self._every or MINUTE), now)
                await self._tell()
            await asyncio.sleep(max(min(next_block, next_sample) - time.monotonic(), 0.1))

    async def _sample(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                self.rates.note(await totals(self._redis, self._queues))
        except (RedisError, OSError):
            return  # who is asked for rates sees that there are none

    async def _tell(self) -> None:
        try:
            lines = await self.lines()
            if self._every:
                self._print(lines)
        except Exception:  # noqa: BLE001 - what is told of the work must not end it
            _log.exception("The status could not be told")

    async def lines(self) -> list[Line]:
        """The block as it is now. A Redis that is away is one of its lines."""
        overview, problem = await self._overview()
        dependencies = list(self._dependency_lines(problem))
        if overview is not None:
            queue_lines = list(self._queue_lines(overview))
        elif problem is not None:
            self._stuck = []
            away = next((each.reason for each in dependencies if each.name == "Redis"), problem)
            names = [queue.name for queue in self._queues if queue.name in self._served]
            queue_lines = [Line(name, f"Redis {away}") for name in names]
        else:
            queue_lines = []
        return [*queue_lines, *map(_part_line, self._parts), *dependencies]

    async def _overview(self) -> tuple[Overview | None, str | None]:
        """Of the queues, or why there is none; neither when others tell of them."""
        if not self._tells_queues:
            return None, None
        try:
            overview = await read_overview(self._redis, self._queues)
            self._read = time.monotonic(), overview
            return overview, None  # noqa: TRY300 - what may raise is above
        except (RedisError, OSError) as error:  # TimeoutError is one
            return None, f"does not answer ({type(error).__name__})"

    async def overview(self, *, within: float) -> Overview:
        """The last one, if it is no older than so many seconds, else a new one.

        Raises RedisError, OSError, TimeoutError.
        """
        if self._read is None or time.monotonic() - self._read[0] > within:
            self._read = time.monotonic(), await read_overview(self._redis, self._queues)
        return self._read[1]

    def _queue_lines(self, overview: Overview) -> Iterator[Line]:
        rate = self.rates.last_minute(overview.ended)
        self.rates.note(overview.ended)
        stuck = []
        for name, view in overview.queues.items():
            is_stuck, reason = self._queue_reason(view)
            if is_stuck:
                stuck.append(f"{name}: {reason}")
            if name in self._served or is_stuck:
                numbers = _numbers(view, rate)
                text = ", ".join(f"{number} {what}" for what, number in numbers.items())
                yield Line(name, reason, text, numbers)
        self._stuck = stuck

    def _queue_reason(self, view: QueueView) -> tuple[bool, str | None]:
        """Is something wrong, and why runs do not start (a pause is somebody's wish)."""
        waits_for = self._waits_for(view)
        if view.is_paused:
            until = view.paused_until
            return (
                False,
                f"paused until {_time(until, self._clock()) if until else 'it is resumed'}",
            )
        held = view.sizes
        is_served = view.name in self._served or view.may_be_served
        if not is_served:
            is_stuck = held.ready + held.deferred + held.blocked > 0
            return is_stuck, "no worker serves it" if is_stuck else None
        if view.free and waits_for >= _LONG:
            return True, f"oldest run waits {waits_for:.0f} s with free slots"
        return False, None

    def _waits_for(self, view: QueueView) -> float:
        """For how many seconds its next run has waited, as far as this process saw it wait.

        Not since it was due: a head start makes that longer.
        """
        if view.oldest is None:
            self._next.pop(view.name, None)
            return 0
        run_id, since = self._next.get(view.name, ("", 0.0))
        if run_id != view.oldest.run_id:
            since = time.monotonic()
            self._next[view.name] = (view.oldest.run_id, since)
        seen_for = time.monotonic() - since
        return view.oldest.seconds if min(seen_for, view.oldest.seconds) >= _LONG else seen_for

    async def _check_queues(self) -> None:
        """A health check: what the last block found stuck."""
        if self._stuck:
            raise UnwellError("; ".join(self._stuck))

    def _dependency_lines(self, problem: str | None) -> Iterator[Line]:
        hidden = {"queues", *(part.name for part in self._parts)}
        for checked in self._health.checked():
            if checked.name not in hidden:
                if problem is not None and checked.name == "redis" and not checked.is_failing:
                    reason: str | None = problem  # the checks will see it soon
                else:
                    reason = _dependency_reason(checked, self._clock())
                text = (
                    "well"
                    if checked.latency is None
                    else f"answers in {checked.latency * 1000:.1f} ms"
                )
                yield Line(_TITLES.get(checked.name, checked.name), reason, text)

    def _print(self, lines: Sequence[Line]) -> None:
        is_well = all(line.reason is None for line in lines)
        say = _log.info if is_well else _log.warning
        if self._is_json:
            say(TITLE, workers=[_record(line) for line in lines])
            return
        say(TITLE)
        for line in lines:
            (_log.info if line.reason is None else _log.warning)(str(line))


def _part_line(part: Part) -> Line:
    try:
        return Line(part.name, part.status())
    except Exception as error:  # noqa: BLE001 - whatever it is: the others are told of
        return Line(part.name, f"it cannot tell how it does ({type(error).__name__})")


def _numbers(view: QueueView, rate: Rate | None) -> dict[str, int]:
    numbers = {"running": view.sizes.running, "waiting": view.sizes.ready}
    if rate is not None:
        ended = rate.ended.get(view.name, {})
        numbers["done"] = sum(ended.get(state, 0) for state in _DONE)
        numbers["failed"] = ended.get(State.DEAD, 0)
    return numbers


def _dependency_reason(checked: Checked, now: datetime) -> str | None:
    if checked.is_failing:
        return f"away since {_time(checked.since, now)}"
    if not checked.is_known:
        return "not checked yet"
    if checked.status == "degraded":
        return "its clock and this machine's differ" if checked.name == "redis" else "degraded"
    return None


def _time(at: datetime, now: datetime) -> str:
    """As the log has it, in UTC; with the day, unless that is today."""
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def _record(line: Line) -> dict[str, object]:
    is_well = line.reason is None
    return {"name": line.name, "is_well": is_well, "reason": line.reason, **line.numbers}
