"""Cancel a run, whether it waits or runs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import time
from typing import Any, Literal

from arq.constants import job_key_prefix, retry_key_prefix

from jobs.kit import QUEUES, Job, discover
from worker.codec import JobMessage, UndecodableError, cancelled_result, decode_job
from worker.ending import Ending, State
from worker.engine.claims import Claim
from worker.engine.scripts import script
from worker.engine.store import EVENTS_LIMIT
from worker.enqueuer import Pool
from worker.records import UNKNOWN, attempt_record, to_json
from worker.redis_cluster import key_tag

# What became of the request: it waited and is over; its worker was told; there is no such run; it
# runs, and goes on.
Cancelled = Literal["cancelled", "stopping", "gone", "running"]

_JOB, _RETRY = job_key_prefix.encode(), retry_key_prefix.encode()
_PAGE = 20  # runs at once
_TRIES = 5  # its payload may be replaced again and again
_LEAST_RESULT_MS = 10_000  # whoever waits for the result shall find it


async def cancel(
    pool: Pool,
    run_id: str,
    *,
    reason: str = "cancelled",
    by: str = "somebody",
    is_only_waiting: bool = False,
) -> Cancelled:
    """End a run: at once while it waits, within a second while it runs, or not `is_only_waiting`.

    `reason` and `by` are remembered with a run that waited. A coroutine is cancelled, a process
    that it offloaded to is killed, and its threads can ask `jobs.kit.is_stopping()`. Raises
    RedisError.
    """
    name = run_id.encode("utf-8", "surrogateescape")
    command = pool.register_script(script("cancel", key_tag(pool)).text)
    keys = [queue.key for queue in QUEUES.values()]
    told = b"changed"
    for _ in range(_TRIES):
        raw, spent = await pool.mget(_JOB + name, _RETRY + name)
        claim = _claim(run_id, raw, spent)
        job, message = _read(raw)
        told = await command(
            keys=keys,
            args=[
                name,
                raw or b"",
                _result(claim, message, reason),
                _result_ms(job),
                _record(claim, job, message, reason, by),
                EVENTS_LIMIT,
                "waiting" if is_only_waiting else "",
            ],
        )
        if told == b"cancelled":
            return "cancelled"
        if told != b"changed":
            break
    if told == b"stopping":
        return "stopping"
    return "running" if told == b"running" else "gone"


async def cancel_waiting(
    pool: Pool, queue: str, *, reason: str = "cancelled", by: str = "somebody"
) -> AsyncIterator[int]:
    """End all runs of a queue that wait, due or not; those that run go on.

    Yields how many, after each page of some ten. Runs that come meanwhile may be among them. Raises
    KeyError for an unknown queue, RedisError.
    """
    page: list[str] = []
    async for name, _ in pool.zscan_iter(QUEUES[queue].key, count=_PAGE):
        page.append(name.decode("utf-8", "surrogateescape"))
        if len(page) >= _PAGE:
            yield await _cancel_page(pool, page, reason, by)
            page = []
    yield await _cancel_page(pool, page, reason, by)


async def _cancel_page(pool: Pool, run_ids: Sequence[str], reason: str, by: str) -> int:
    told = await asyncio.gather(
        *(cancel(pool, one, reason=reason, by=by, is_only_waiting=True) for one in run_ids)
    )
    return told.count("cancelled")


def _claim(run_id: str, raw: bytes | None, spent: bytes | None) -> Claim:
    """As if it had been claimed, for its record."""
    count = int(spent) if spent is not None and spent.isdigit() else 0
    job, _ = _read(raw)
    queue = QUEUES[job.queue if job else "default"]
    return Claim(run_id, queue, "", raw, time() * 1000, count, 0, "")


def _read(raw: bytes | None) -> tuple[Job[Any, Any] | None, JobMessage | None]:
    try:
        message = None if raw is None else decode_job(raw)
    except UndecodableError:
        message = None
    return (discover().get(message.function) if message else None), message


def _result(claim: Claim, message: JobMessage | None, reason: str) -> bytes:
    now = int(time() * 1000)
    return to_json(
        {
            "t": claim.attempts_spent,
            "f": message.function if message else UNKNOWN,
            "a": [],
            "k": {},
            "et": message.enqueued_ms if message else now,
            "s": False,
            "r": cancelled_result(reason),
            "st": now,
            "ft": now,
            "q": claim.queue.key,
            "id": claim.run_id,
        }
    )


def _result_ms(job: Job[Any, Any] | None) -> int:
    return max(job.result_ttl_ms if job else 0, _LEAST_RESULT_MS)


def _record(
    claim: Claim, job: Job[Any, Any] | None, message: JobMessage | None, reason: str, by: str
) -> bytes:
    now = time()
    ending = Ending(state=State.CANCELLED, reason=reason)
    record = attempt_record(
        claim,
        message,
        ending,
        started=now,
        ended=now,
        worker=by,
        sensitive=job.sensitive if job else None,
    )
    return record.to_bytes()
