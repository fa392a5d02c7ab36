"""What people do with one run: cancel it, have it start now, run it again, forget it."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from jobs.kit import QUEUES, Job, discover
from worker import cancelling
from worker.cancelling import Cancelled
from worker.codec import ORIGIN
from worker.dead_letters import DeadLetterError, get_dead_letter, replay, replay_id
from worker.ending import State
from worker.engine.scripts import script
from worker.enqueuer import Pool
from worker.history import queries
from worker.history.live import LiveState, look
from worker.history.queries import Db, Letter
from worker.history.runs import PastRun, RunError, UnknownRunError
from worker.kept_payload import is_whole
from worker.ledger.rows import forget
from worker.outbox.troubles import withdraw
from worker.redis_cluster import key_tag

# What became of the request: it is due now; it was due, over a limit, or being run already; there
# is no such run.
Promoted: TypeAlias = Literal["promoted", "waiting", "blocked", "active", "gone"]

_MOST_RETRIES = 100  # of one run
_STANDS: dict[LiveState, str] = {
    "waiting": "waits",
    "delayed": "waits for its time",
    "blocked": "waits for room under a limit",
    "active": "runs",
}


@dataclass(frozen=True, slots=True)
class Retried:
    """The run that runs again; not new when somebody else asked for the same at the same time."""

    run_id: str
    is_new: bool


async def cancel(
    pool: Pool, db: Db, run_id: str, *, reason: str = "cancelled", by: str = "somebody"
) -> Cancelled:
    """End a run wherever it waits, also in the outbox, or runs: see `worker.cancelling.cancel`.

    Raises RedisError, OSError and asyncpg's errors.
    """
    told = await cancelling.cancel(pool, run_id, reason=reason, by=by)
    # What comes due in some days waits in the outbox alone.
    is_withdrawn = told == "gone" and await withdraw(db, run_id)
    return "cancelled" if is_withdrawn else told


async def promote(pool: Pool, run_id: str) -> Promoted:
    """Let a run that is put off start now: one that was deferred, snoozed, or is to be tried again.

    Limits, pauses and the order of its partition still hold. What waits in the outbox for a day
    that is to come is not in Redis: "gone". Raises RedisError.
    """
    told: Promoted = (await _run_script(pool, "promote", run_id)).decode()
    return told


async def retry(pool: Pool, db: Db, run_id: str) -> Retried:
    """Run a run that is over again, as a new one (`replay_of`) with all its attempts.

    It has the payload, tenant, label and correlation id of the first, and its effects have the same
    key (`ctx.run.key`): what that one did is not done again. A dead one is the replay of its dead
    letter, once. Asked twice at once it is one new run. Raises RunError, which says why not, and
    PayloadError, DeadLetterError, RedisError and asyncpg's errors.
    """
    past = await _past(pool, db, run_id)
    letter = await queries.letter_of(db, run_id) if past.state is State.DEAD else None
    if letter is not None and letter.status != "discarded":
        return await _replay(pool, db, letter)
    payload = letter.payload if letter and letter.payload else past.payload
    job = _known_job(past)
    if payload is None or not is_whole(payload):
        why = "is not kept" if payload is None else "is kept without what is sensitive, or in part"
        raise RunError(f"run {run_id} cannot run again: its payload {why}; enqueue it anew")
    job.read(payload)
    again = await _id_of_retry(db, past)
    headers = {
        "cid": past.correlation_id,
        "replay": past.run_id,
        ORIGIN: await queries.origin_of(db, past.run_id),
        **({} if past.label is None else {"label": past.label}),
    }
    is_new = await pool.enqueue_raw(
        job.name,
        payload,
        queue=job.queue,
        run_id=again,
        headers=headers,
        words=job.words_of(job.read(payload)),
    )
    return Retried(again, is_new)


async def _replay(pool: Pool, db: Db, letter: Letter) -> Retried:
    again = replay_id(letter.dead_letter_id)
    if letter.status == "replayed":
        return Retried(again, is_new=False)
    try:
        await replay(db, pool, letter.dead_letter_id)
    except DeadLetterError:
        known = await get_dead_letter(db, letter.dead_letter_id)
        if known.status != "replayed":
            raise
        return Retried(again, is_new=False)  # somebody was faster
    return Retried(again, is_new=True)


async def delete(pool: Pool, db: Db, run_id: str) -> None:
    """Forget a run that is over: its result, its attempts, and what became of its dead letter.

    Raises RunError, which says why not: it waits or runs, its dead letter waits, nobody knows it;
    RedisError, OSError and asyncpg's errors.
    """
    past = await queries.get(db, run_id)
    letter = await queries.letter_of(db, run_id)
    if letter is not None and letter.status == "dead":
        raise RunError(
            f"the dead letter {letter.dead_letter_id} of run {run_id} waits: replay or discard it "
            "first"
        )
    if past is None and await queries.outbox_run(db, run_id):
        raise RunError(f"run {run_id} waits: cancel it first")
    told = (await _run_script(pool, "forget", run_id)).decode()
    if told != "forgotten":
        what = "runs" if told == "active" else "waits"
        raise RunError(f"run {run_id} {what}: cancel it first")
    if past is None and letter is None:
        raise UnknownRunError(f"history knows no run {run_id!r}")
    await queries.delete_letters(db, run_id)
    if past is not None:
        # A run that has come again with this id meanwhile stays.
        await forget(db, {past.run_id: past.started_at or past.enqueued_at})


async def _past(pool: Pool, db: Db, run_id: str) -> PastRun:
    """Raises RunError unless it is over."""
    found = await look(pool, run_id)
    if found is not None:
        raise RunError(f"run {run_id} {_STANDS[found.state]}: it is not over yet")
    past = await queries.get(db, run_id)
    if past is None:
        raise UnknownRunError(
            f"history knows no run {run_id!r} that is over; a new one is there in a second"
        )
    if not past.state.is_final:
        raise RunError(f"run {run_id} is {past.state}: it is not over yet")
    return past


def _known_job(past: PastRun) -> Job[Any, Any]:
    job = discover().get(past.job)
    if job is None:
        raise RunError(f"run {past.run_id} cannot run again: no job is called {past.job!r} here")
    return job


async def _id_of_retry(db: Db, past: PastRun) -> str:
    """The same for all who ask at once; another one when the retry before is over, too."""
    digest = hashlib.sha256(past.run_id.encode()).hexdigest()[:32]
    ids = [f"retry:{number}:{digest}" for number in range(1, _MOST_RETRIES + 1)]
    over = await queries.which_are_over(db, ids)
    free = next((one for one in ids if one not in over), None)
    if free is None:
        raise RunError(f"run {past.run_id} was retried {_MOST_RETRIES} times already")
    return free


async def _run_script(pool: Pool, name: str, run_id: str) -> Any:
    command = pool.register_script(script(name, key_tag(pool)).text)
    keys = [queue.key for queue in QUEUES.values()]
    return await command(keys=keys, args=[run_id.encode("utf-8", "surrogateescape")])
