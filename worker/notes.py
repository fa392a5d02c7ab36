"""What running attempts say of themselves: how far they are, and the lines of their log.

Said many times a second, it is written four times: the newest progress of each run, and the last
lines. When an attempt ends its lines go with its record into PostgreSQL.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.kit import Run
from worker.clock import utc_now
from worker.engine.store import EVENTS, EVENTS_LIMIT
from worker.telemetry.logs import get_logger, send_run_lines_to
from worker.telemetry.redaction import redact_text

MOST_LINES = 200  # of an attempt: the last ones
_LINE_LIMIT, _MESSAGE_LIMIT = 500, 200  # characters
_SHOWN_LINES = 20  # while it runs
_MOST_ATTEMPTS = 1_000  # a worker's in hand are far fewer
_EVERY = 0.25  # seconds
_KEPT_MS = 3_600_000  # how long what was said last can be read
_PREFIX = "deskhand:live:"
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """What a run said last. `fraction` is 0 to 1; None when it never said."""

    at: datetime
    attempt: int
    fraction: float | None
    message: str
    lines: tuple[str, ...]


@dataclass(slots=True)
class _Said:
    """By one attempt."""

    attempt: int = 0
    fraction: float | None = None
    message: str = ""
    queue: str = ""
    job: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_LINES))


class Notes:
    """Of all attempts of one worker. `run` writes them down, until it is cancelled."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._said: dict[str, _Said] = {}
        self._news: set[str] = set()
        self._steps: set[str] = set()
        self._is_new = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        send_run_lines_to(self.add_line)

    def progress(self, run: Run, fraction: float, message: str = "") -> None:
        """`run` is so far."""
        said = self._of(run.run_id)
        said.attempt, said.queue, said.job = run.attempt, run.queue, run.job
        said.fraction, said.message = fraction, redact_text(message)[:_MESSAGE_LIMIT]
        self._steps.add(run.run_id)
        self._tell(run.run_id)

    def add_line(self, run_id: str, attempt: int, line: str) -> None:
        """A line of its log, redacted; may come from a thread."""
        said = self._of(run_id)
        said.attempt = attempt
        said.lines.append(line[:_LINE_LIMIT])
        self._tell(run_id)

    def take(self, run_id: str) -> str | None:
        """All lines of an attempt that ends, joined by line breaks."""
        said = self._said.pop(run_id, None)
        return "\n".join(said.lines) if said is not None and said.lines else None

    async def run(self) -> None:
        while True:
            await self._is_new.wait()
            try:
                await self.flush()
            except (RedisError, OSError) as error:
                _log.warning("Progress is not written", error_type=type(error).__name__)
            except Exception:  # noqa: BLE001 - what one run says must not silence all others
                _log.exception("Progress is not written")
            await asyncio.sleep(_EVERY)

    async def flush(self) -> None:
        """Write what is new, in one round trip. Raises RedisError, OSError."""
        self._is_new.clear()
        news, steps = self._news, self._steps
        self._news, self._steps = set(), set()
        now = utc_now()
        told: dict[Any, Any] = {}
        async with self._redis.pipeline(transaction=False) as pipe:
            for run_id in news:
                said = self._said.get(run_id)
                if said is None:  # it ended
                    continue
                pipe.set(_bytes(_PREFIX + run_id), _written(said, now), px=_KEPT_MS)
                if run_id in steps:
                    told[_bytes(f"~{run_id}")] = _step(said)
            if told:
                pipe.xadd(EVENTS, told, maxlen=EVENTS_LIMIT)
            await pipe.execute()

    def close(self) -> None:
        send_run_lines_to(None)

    def _of(self, run_id: str) -> _Said:
        if len(self._said) > _MOST_ATTEMPTS:  # of those that another worker has by now
            self._said.pop(next(iter(self._said)), None)
        return self._said.setdefault(run_id, _Said())

    def _tell(self, run_id: str) -> None:
        self._news.add(run_id)
        if not self._is_new.is_set():
            self._loop.call_soon_threadsafe(self._is_new.set)


async def live(redis: Redis, run_id: str) -> Live | None:
    """What a run said last, within the hour. Raises RedisError."""
    raw = await redis.get(_bytes(_PREFIX + run_id))
    try:
        said = orjson.loads(raw or b"null")
        return said and Live(
            datetime.fromisoformat(said["at"]),
            int(said["attempt"]),
            said["fraction"],
            str(said["message"]),
            tuple(map(str, said["lines"])),
        )
    except (ValueError, KeyError, TypeError):  # what somebody else wrote there
        return None


def _bytes(name: str) -> bytes:
    """Run ids are foreign, and not all of them text."""
    return name.encode("utf-8", "surrogateescape")


def _written(said: _Said, now: datetime) -> bytes:
    return orjson.dumps(
        {
            "at": now,
            "attempt": said.attempt,
            "fraction": said.fraction,
            "message": said.message,
            "lines": list(said.lines)[-_SHOWN_LINES:],
        }
    )


def _step(said: _Said) -> bytes:
    fields = ("queue", "job", "attempt", "fraction", "message")
    return orjson.dumps({name: getattr(said, name) for name in fields})
