"""What is enqueued: to list, to insist on, and to refute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import orjson
from typing_extensions import override

from jobs.kit import QUEUES, Job, Payload, discover, queue_key
from worker.codec import UndecodableError, decode_job, dump_value
from worker.engine.claims import instant
from worker.enqueuer import Pool, known_job
from worker.testing.pool import RigPool

_MOST = 10_000  # runs of one queue that are looked at
_SHOWN = 20  # runs in a message


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that is enqueued; `payload` as JSON has it, `due_at` by the rig's clock."""

    run_id: str
    job: str
    queue: str
    payload: Mapping[str, Any]
    due_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)

    @override
    def __str__(self) -> str:
        payload = orjson.dumps(self.payload).decode()
        due = self.due_at.astimezone(UTC).isoformat(timespec="seconds")
        return f"{self.job} {payload} on {self.queue}, due at {due}"


class HasEnqueued(Protocol):
    """A rig."""

    async def enqueued(self) -> list[Waiting]: ...


async def enqueued(
    where: Pool | HasEnqueued, job: Job[Any, Any] | str | None = None
) -> list[Waiting]:
    """All runs that wait on the queues of a pool, or of a rig, the one due first first.

    Runs that are being run count too. With `job` only its runs. Raises UnknownJobError, RedisError.
    """
    found = await (_on(where) if isinstance(where, Pool) else where.enqueued())
    name = None if job is None else _name(job)
    return sorted(
        (run for run in found if name is None or run.job == name), key=lambda run: run.due_at
    )


async def assert_enqueued(
    where: Pool | HasEnqueued,
    job: Job[Any, Any] | str,
    payload: Mapping[str, Any] | Payload | None = None,
    *,
    count: int | None = None,
    due_at: datetime | None = None,
    within: timedelta = timedelta(seconds=1),
) -> list[Waiting]:
    """The runs of `job` that have (at least) these fields in their payload.

    Raises AssertionError, with what is enqueued instead, when there is none, or not `count` of
    them, or none that is due at `due_at`, give or take `within`.
    """
    everything = await enqueued(where)
    found = [run for run in everything if _matches(run, job, payload)]
    if due_at is not None:
        found = [run for run in found if abs(run.due_at - due_at) <= within]
    if (count is None and found) or len(found) == count:
        return found
    wanted = [_name(job)]
    if payload is not None:
        wanted.append(f"with {orjson.dumps(_plain(payload)).decode()}")
    if due_at is not None:
        wanted.append(f"due at {due_at.astimezone(UTC).isoformat(timespec='seconds')}")
    number = "a run" if count is None else f"{count} runs"
    told = f"expected {number} of {' '.join(wanted)}, found {len(found)}"
    raise AssertionError(f"{told}; {_list(everything)}")


async def refute_enqueued(
    where: Pool | HasEnqueued,
    job: Job[Any, Any] | str,
    payload: Mapping[str, Any] | Payload | None = None,
) -> None:
    """Raises AssertionError, with what is enqueued, when such a run is."""
    everything = await enqueued(where)
    found = [run for run in everything if _matches(run, job, payload)]
    if found:
        raise AssertionError(f"expected no run of {_name(job)}, found one; {_list(everything)}")


def _matches(
    run: Waiting, job: Job[Any, Any] | str, payload: Mapping[str, Any] | Payload | None
) -> bool:
    return run.job == _name(job) and (payload is None or _is_part(_plain(payload), run.payload))


def _is_part(wanted: Any, found: Any) -> bool:
    """Of objects the fields that are named, of everything else all of it."""
    if isinstance(wanted, dict) and isinstance(found, Mapping):
        return all(name in found and _is_part(wanted[name], found[name]) for name in wanted)
    return bool(wanted == found)


def _plain(payload: Mapping[str, Any] | Payload) -> Any:
    """As JSON carries it: a UUID is text there."""
    given = payload if isinstance(payload, Mapping) else payload.model_dump(mode="json")
    return orjson.loads(dump_value(given))


def _name(job: Job[Any, Any] | str) -> str:
    return known_job(job).name if isinstance(job, str) else job.name


def _list(runs: Sequence[Waiting]) -> str:
    if not runs:
        return "nothing is enqueued"
    lines = [f"  {run}" for run in runs[:_SHOWN]]
    more = [f"  and {len(runs) - _SHOWN} more"] if len(runs) > _SHOWN else []
    return "\n".join([f"enqueued are {len(runs)}:", *lines, *more])


async def _on(pool: Pool) -> list[Waiting]:
    if isinstance(pool, RigPool):
        await pool.follow()
    found: list[Waiting] = []
    seconds, microseconds = await pool.time()
    now_ms = seconds * 1000 + microseconds / 1000
    for name in QUEUES:
        scores = await pool.zrange(queue_key(name), 0, _MOST - 1, withscores=True)
        keys = [b"arq:job:" + run_id for run_id, _ in scores]
        payloads = await pool.mget(keys) if keys else []
        for (raw_id, score), raw in zip(scores, payloads, strict=True):
            run_id = raw_id.decode("utf-8", "surrogateescape")
            found.append(_waiting(run_id, name, raw, _due(pool, run_id, score, now_ms)))
    return found


def _due(pool: Pool, run_id: str, score: float, now_ms: float) -> datetime:
    if not isinstance(pool, RigPool):
        return instant(score)
    return pool.due.get(run_id) or pool.clock() + timedelta(milliseconds=score - now_ms)


def _waiting(run_id: str, queue: str, raw: bytes | None, due_at: datetime) -> Waiting:
    try:
        message = decode_job(raw or b"", accept_pickle=False)
    except UndecodableError:
        return Waiting(run_id, "(unreadable)", queue, {}, due_at)
    declared = discover().get(message.function)  # stock pools may write an alias
    job = declared.name if declared is not None else message.function
    return Waiting(run_id, job, queue, message.arguments, due_at, message.headers)
