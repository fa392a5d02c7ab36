"""`create_pool()`: an ArqRedis whose `enqueue_job` validates, routes and dedupes in one round trip.

    pool = await create_pool("redis://localhost:6379")
    job = await pool.enqueue_job("email.send_opportunity_reminder", {"tenant_id": …, …})
    print(await job.result(timeout=60))

What it writes is ARQ's own wire format, so stock pools and ours live side by side.
"""

import contextvars
import difflib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from arq.connections import ArqRedis
from arq.constants import abort_jobs_ss, job_key_prefix, result_key_prefix
from arq.jobs import Job as ArqJob
from arq.utils import timestamp_ms, to_ms, to_unix_ms
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from typing_extensions import override

from jobs.kit import Enqueued, Job, Payload, PayloadError, discover, queue_key
from worker.codec import dumps, loads
from worker.engine.store import script
from worker.redis_pool import open_redis
from worker.settings import load_settings

_RUN_ID_LIMIT = 200

# Set around a request or a run; every run enqueued inside carries it.
correlation_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("cid", default=None)


class UnknownJobError(Exception):
    """No job has this name; the sentence names the nearest."""


class WrongQueueError(Exception):
    """The job does not run on the queue that was asked for."""


class Pool(ArqRedis):
    """ARQ's pool, with jobs it knows: a wrong payload raises before anything is sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        options = {"job_serializer": dumps, "job_deserializer": loads, **kwargs}
        super().__init__(*args, **options)
        self._enqueue = self.register_script(script("enqueue"))

    @override
    async def enqueue_job(  # type: ignore[override]  # D22
        self,
        function: str,
        /,
        *args: Any,
        _job_id: str | None = None,
        _queue_name: str | None = None,
        _defer_until: datetime | None = None,
        _defer_by: float | timedelta | None = None,
        _expires: float | timedelta | None = None,
        _job_try: int | None = None,
        **kwargs: Any,
    ) -> ArqJob | None:
        """Enqueue `function` with one payload: a mapping, a model, or its fields by keyword.

        Returns None, as ARQ does, when the run id or the idempotency key is taken by a waiting,
        running or just finished run. The queue is the job's own; `_queue_name` is for ARQ's callers
        that name it, and must agree. Raises UnknownJobError, WrongQueueError, PayloadError.
        """
        del _job_try  # ARQ's way to start in the middle of the attempts (D47): all runs start at 1
        job = known_job(function)
        if _queue_name is not None and _queue_name not in (job.queue, queue_key(job.queue)):
            raise WrongQueueError(
                f"{job.name} runs on the queue {job.queue!r}, not {_queue_name!r}"
            )
        if _expires is not None and (to_ms(_expires) or 0) <= 0:
            raise ValueError("_expires is more than nothing, or None")
        if _defer_until is not None and _defer_by is not None:
            raise ValueError("give either _defer_until or _defer_by, not both")
        enqueued = await self.enqueue(
            job,
            job.validate(_one_payload(job, args, kwargs)),
            run_id=_job_id,
            due_ms=None if _defer_until is None else to_unix_ms(_defer_until),
            wait_ms=to_ms(_defer_by) or 0,
            expires_ms=to_ms(_expires),
        )
        return self.handle(enqueued.run_id, job) if enqueued.is_new else None

    async def add_job(self, queue: str, name: str, job: Mapping[str, Any]) -> ArqJob | None:
        """Enqueue by queue, name, type and data: `add_job("email", "daily", {"type", "data"})`.

        `type` is the job's name or an alias; `name` labels the run. Raises as `enqueue_job`.
        """
        declared = known_job(str(job.get("type", name)))
        if declared.queue != queue:
            raise WrongQueueError(f"{declared.name} runs on the queue {declared.queue!r}")
        payload = declared.validate(job.get("data", {}))
        enqueued = await self.enqueue(declared, payload, headers={"label": name})
        return self.handle(enqueued.run_id, declared) if enqueued.is_new else None

    async def enqueue(
        self,
        job: Job[Any, Any],
        payload: Payload,
        *,
        run_id: str | None = None,
        due_ms: int | None = None,
        wait_ms: int = 0,
        expires_ms: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Enqueued:
        """Enqueue a checked payload; says which run it led to, new or not."""
        key = job.key_of(payload)
        is_ours = run_id is None and key is None
        run_id = run_id or (f"{job.name}:{key}" if key else uuid4().hex)
        if not 0 < len(run_id) <= _RUN_ID_LIMIT:
            raise ValueError(
                f"a run id has 1 to {_RUN_ID_LIMIT} characters, this has {len(run_id)}"
            )
        data = payload.model_dump(mode="json")
        is_new = await self.enqueue_raw(
            job.name,
            data,
            queue=job.queue,
            run_id=run_id,
            due_ms=due_ms,
            wait_ms=wait_ms,
            expires_ms=expires_ms,
            headers={"cid": correlation_id.get() or uuid4().hex, **(headers or {})},
        )
        # An id of our own making can only be taken by our own call, sent again by the client
        # because the first answer was lost.
        return Enqueued(run_id, is_new or is_ours)

    async def enqueue_raw(
        self,
        name: str,
        data: Mapping[str, Any],
        *,
        queue: str,
        run_id: str,
        due_ms: int | None = None,
        wait_ms: int = 0,
        expires_ms: int | None = None,
        headers: Mapping[str, str],
    ) -> bool:
        """Write one run as it is. For callers that have checked it; true when it is new."""
        message = {
            "t": None,
            "f": name,
            "a": [data],
            "k": {},
            "et": timestamp_ms(),
            "h": dict(headers),
        }
        keys = [
            job_key_prefix + run_id,
            result_key_prefix + run_id,
            queue_key(queue),
            abort_jobs_ss,
        ]
        args = [
            run_id,
            dumps(message),
            "" if due_ms is None else due_ms,
            wait_ms,
            "" if expires_ms is None else expires_ms,
        ]
        try:
            return bool(await self._enqueue(keys=keys, args=args))
        except (RedisConnectionError, RedisTimeoutError):
            # A kept connection may have died unnoticed; the same id makes a second call harmless.
            return bool(await self._enqueue(keys=keys, args=args))

    def handle(self, run_id: str, job: Job[Any, Any]) -> ArqJob:
        """ARQ's `Job` for a run: `result()`, `status()`, `info()`, `abort()`."""
        return ArqJob(run_id, self, _queue_name=queue_key(job.queue), _deserializer=loads)


async def create_pool(redis_url: str | None = None) -> Pool:
    """A pool for an async API, connected; the default is what the settings say.

    Raises redis.exceptions.ConnectionError when Redis does not answer, ValueError when none is set.
    """
    url = redis_url or load_settings().redis_dsn
    if url is None:
        raise ValueError("set REDIS_URL (or REDIS_HOST), or give create_pool() the URL")
    discover()
    pool = open_redis(url, Pool)
    try:
        await pool.ping()
    except BaseException:
        await pool.aclose()
        raise
    return pool


def known_job(name: str) -> Job[Any, Any]:
    """The job of this name or alias. Raises UnknownJobError."""
    jobs = discover()
    job = jobs.get(name)
    if job is None:
        near = difflib.get_close_matches(name, jobs, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(jobs))}"
        raise UnknownJobError(f"no job is called {name!r}; {hint}")
    return job


def _one_payload(
    job: Job[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Mapping[str, Any] | Payload:
    match args:
        case ():
            return kwargs
        case (Mapping() | Payload() as payload,) if not kwargs:
            return payload
    raise PayloadError(
        job.name,
        ["give one payload (a mapping or a model), or its fields by keyword, and nothing else"],
    )
