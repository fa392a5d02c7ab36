"""`create_pool()`: an ArqRedis whose `enqueue_job` validates, routes and dedupes in one round trip.

    pool = await create_pool("redis://localhost:6379")
    job = await pool.enqueue_job("email.send_opportunity_reminder", {"tenant_id": …, …})
    print(await job.result(timeout=60))

What it writes is ARQ's own wire format, so stock pools and ours live side by side.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from arq.connections import ArqRedis
from arq.jobs import Job as ArqJob
from pydantic_core import to_json
from typing_extensions import override

from jobs.kit import Enqueued, Job, Payload, PayloadError, discover, queue_key
from worker.codec import dumps, loads
from worker.engine.writer import CACHED, NEW, REPLACED, Line, Merge, NewRun, RunWriter
from worker.message import NOW, When, checked_run_id, headers_of, message, run_id_of
from worker.redis_pool import open_redis
from worker.settings import load_settings


class UnknownJobError(Exception):
    """No job has this name; the sentence names the nearest."""


class WrongQueueError(Exception):
    """The job does not run on the queue that was asked for."""


class Pool(ArqRedis):
    """ARQ's pool, with jobs it knows: a wrong payload raises before anything is sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        options = {"job_serializer": dumps, "job_deserializer": loads, **kwargs}
        super().__init__(*args, **options)
        self._runs = RunWriter(self)

    @override
    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        self._runs.close()
        await super().aclose(close_connection_pool)

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
        _priority: int | None = None,
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
        enqueued = await self.enqueue(
            job,
            job.validate(_one_payload(job, args, kwargs)),
            run_id=_job_id,
            when=When.of(_defer_until, _defer_by, _expires),
            priority=_priority,
        )
        return self._handle_or_none(enqueued, job)

    async def enqueue_many(
        self,
        function: str,
        payloads: Sequence[Mapping[str, Any] | Payload],
        *,
        _defer_until: datetime | None = None,
        _defer_by: float | timedelta | None = None,
        _expires: float | timedelta | None = None,
        _priority: int | None = None,
    ) -> list[ArqJob | None]:
        """Enqueue one run of `function` for each payload, in one round trip per some hundred.

        All payloads are checked first: PayloadError names the first that is wrong, by its place.
        Returns for each what `enqueue_job` returns, in their order. After an error of Redis some
        may be enqueued; with an idempotency key the call can be repeated.
        """
        job = known_job(function)
        when = When.of(_defer_until, _defer_by, _expires)
        told = await self.enqueue_all(job, payloads, when=when, priority=_priority)
        return [self._handle_or_none(enqueued, job) for enqueued in told]

    async def add_job(self, queue: str, name: str, job: Mapping[str, Any]) -> ArqJob | None:
        """Enqueue by queue, name, type and data: `add_job("email", "daily", {"type", "data"})`.

        `type` is the job's name or an alias; `name` labels the run. Raises as `enqueue_job`.
        """
        declared = known_job(str(job.get("type", name)))
        if declared.queue != queue:
            raise WrongQueueError(f"{declared.name} runs on the queue {declared.queue!r}")
        payload = declared.validate(job.get("data", {}))
        enqueued = await self.enqueue(declared, payload, headers={"label": name})
        return self._handle_or_none(enqueued, declared)

    async def enqueue(
        self,
        job: Job[Any, Any] | str,
        payload: Payload | Mapping[str, Any],
        *,
        run_id: str | None = None,
        when: When = NOW,
        headers: Mapping[str, str] | None = None,
        priority: int | None = None,
    ) -> Enqueued:
        """Enqueue one run; says which run it led to, and whether that is a new one.

        A model is taken as it is, a mapping is checked. `priority` is 0 to 9, in place of the job's
        own. Raises UnknownJobError, PayloadError, ValueError.
        """
        job = known_job(job) if isinstance(job, str) else job
        payload = payload if isinstance(payload, Payload) else job.validate(payload)
        run = _new_run(job, payload, run_id)
        head, tail = message(job.name, when, headers_of(headers), job.words_of(payload, priority))
        run = run._replace(raw=head + to_json(payload) + tail)
        if run.key:
            return (await self._merge(job, [run], when))[0]
        line = _line(job, when, is_certain=run_id is None and not job.is_keyed)
        return _enqueued(run.run_id, await self._runs.write_one(line, run))

    async def enqueue_all(
        self,
        job: Job[Any, Any] | str,
        payloads: Sequence[Mapping[str, Any] | Payload],
        *,
        when: When = NOW,
        headers: Mapping[str, str] | None = None,
        priority: int | None = None,
    ) -> list[Enqueued]:
        """As `enqueue_many`, and says for each payload which run it led to."""
        job = known_job(job) if isinstance(job, str) else job
        headers, runs = headers_of(headers), []
        has_words = job.has_words or bool(priority)
        shared = None if has_words else message(job.name, when, headers)
        for place, given in enumerate(payloads):
            try:
                payload = job.validate(given)
            except PayloadError as error:
                problems = [f"payload {place}: {problem}" for problem in error.problems]
                raise PayloadError(job.name, problems) from None
            words = job.words_of(payload, priority) if has_words else []
            head, tail = shared or message(job.name, when, headers, words)
            run = _new_run(job, payload)
            runs.append(NewRun(run.run_id, head + to_json(payload) + tail, run.key))
        if job.is_merging:
            return await self._merge(job, runs, when)
        verdicts = await self._runs.write(_line(job, when, is_certain=not job.is_keyed), runs)
        return [_enqueued(run.run_id, verdict) for run, verdict in zip(runs, verdicts, strict=True)]

    async def _merge(
        self, job: Job[Any, Any], runs: Sequence[NewRun], when: When
    ) -> list[Enqueued]:
        debounce = job.repeats.debounce
        if debounce is not None:
            if when.due_ms is not None or when.wait_ms:
                raise ValueError(f"{job.name}: its debounce says when it is due")
            when = replace(when, wait_ms=int(debounce.wait * 1000))
        how = Merge(
            how="refuse" if job.controls.singleton else "replace",
            longest_ms=None if debounce is None else int(debounce.longest * 1000),
        )
        told = await self._runs.merge(_line(job, when), how, runs)
        return [_enqueued(run_id, verdict) for verdict, run_id in told]

    async def enqueue_raw(
        self,
        name: str,
        data: Mapping[str, Any],
        *,
        queue: str,
        run_id: str,
        when: When = NOW,
        headers: Mapping[str, str],
        words: Sequence[str] = (),
    ) -> bool:
        """Write one run as it is. For callers that have checked it; true when it is new."""
        head, tail = message(name, when, headers, words)
        line = Line(queue_key=queue_key(queue), job=name, due_ms=when.due_ms, wait_ms=when.wait_ms)
        raw = head + orjson.dumps(data) + tail
        return await self._runs.write_one(line, NewRun(run_id, raw)) == NEW

    def _handle_or_none(self, enqueued: Enqueued, job: Job[Any, Any]) -> ArqJob | None:
        """None for a duplicate, as ARQ says it; a result that is kept, and a run that has our
        payload now, serve the caller like a new one.
        """
        serves = enqueued.is_new or enqueued.is_cached or enqueued.is_merged
        return self.handle(enqueued.run_id, job) if serves else None

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


def _new_run(job: Job[Any, Any], payload: Payload, run_id: str | None = None) -> NewRun:
    """Without its bytes. Raises ValueError."""
    key = job.merge_key_of(payload) if job.is_merging else None
    if run_id is not None and key is not None:
        raise ValueError(f"{job.name} makes several requests one run: it names its runs itself")
    run_id = checked_run_id(run_id_of(job, payload) if run_id is None else run_id)
    return NewRun(run_id, b"", key or "")


def _line(job: Job[Any, Any], when: When, *, is_certain: bool = False) -> Line:
    unique_for = job.repeats.unique_for
    return Line(
        queue_key=queue_key(job.queue),
        job=job.name,
        due_ms=when.due_ms,
        wait_ms=when.wait_ms,
        unique_ms=None if unique_for is None else int(unique_for * 1000),
        is_cached=job.repeats.cache is not None,
        is_certain=is_certain,
    )


def _enqueued(run_id: str, verdict: int) -> Enqueued:
    return Enqueued(
        run_id, verdict == NEW, is_cached=verdict == CACHED, is_merged=verdict == REPLACED
    )


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
