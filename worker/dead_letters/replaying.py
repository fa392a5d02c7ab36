"""Running dead letters again, one or a million of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from jobs.kit import Job, PayloadError, discover
from worker.codec import ORIGIN
from worker.dead_letters import changes
from worker.dead_letters.changes import Taken, replay_id
from worker.dead_letters.letters import Cursor, DeadLetter, DeadLetterError, Filter, gone_error
from worker.dead_letters.queries import Connection, Db
from worker.enqueuer import Pool

_PAGE = 25  # letters in hand at once: a payload may be large
_PAGES_A_SECOND = 4  # at most, where the pace allows for less than whole pages


@dataclass(frozen=True, slots=True)
class Unfit:
    """A letter that could not be replayed, and why; it stays as it was."""

    dead_letter_id: int
    error: DeadLetterError | PayloadError
    # It is not there, or was handled before.
    is_gone: bool = False

    @override
    def __str__(self) -> str:
        return str(self.error)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of some letters: the ids of those that run again, and the others."""

    dead_letter_ids: list[int]
    unfit: list[Unfit]


async def replay(db: Db, pool: Pool, dead_letter_id: int) -> str:
    """Run it again as a new run with the same payload and headers; returns the run's id.

    It starts with all its attempts, and its effects have the key that they had in the first run
    (`ctx.run.key`): what that one did is not done again. Raises DeadLetterError when it was
    handled already or cannot run, PayloadError when its payload still does not fit.
    """
    async for done in _pages_of_ids(db, pool, [dead_letter_id], 1):
        for unfit in done.unfit:
            raise unfit.error
    return replay_id(dead_letter_id)


async def replay_all(
    db: Db,
    pool: Pool,
    which: Filter | Sequence[int],
    *,
    pace: float | None = None,
    stop: asyncio.Event | None = None,
) -> AsyncIterator[Replayed]:
    """Replay all letters of a filter, oldest first, or those with these ids, in their order.

    `pace` is how many a second, at most. Yields after each page of at most 25, which is done for
    good by then: whoever stops (also by `stop`) goes on later with the same call, and several at
    once share the work. A letter that cannot be replayed holds up none. Letters that are written
    meanwhile are not replayed, so that one which fails again is not replayed for ever.

    Raises ValueError when `pace` is not more than 0, or a filter's letters are not waiting ones;
    RedisError, OSError and asyncpg's errors, with all earlier pages done.
    """
    if pace is not None and not pace > 0:
        raise ValueError("pace is more than 0 a second")
    size = _PAGE if pace is None else max(1, min(_PAGE, int(pace / _PAGES_A_SECOND)))
    pages = (
        _pages_of_filter(db, pool, which, size)
        if isinstance(which, Filter)
        else _pages_of_ids(db, pool, which, size)
    )
    stop = stop or asyncio.Event()
    clock = asyncio.get_running_loop().time
    due = clock()
    async for done in pages:
        yield done
        if pace is not None:
            # What took long is not made up for: the pace is a promise to whoever is behind it.
            due = max(due, clock()) + (len(done.dead_letter_ids) + len(done.unfit)) / pace
        if stop.is_set() or await _is_stopped(stop, until=due):
            return


async def _is_stopped(stop: asyncio.Event, *, until: float) -> bool:
    try:
        async with asyncio.timeout_at(until):
            return await stop.wait()
    except TimeoutError:
        return False


async def _pages_of_filter(db: Db, pool: Pool, which: Filter, size: int) -> AsyncIterator[Replayed]:
    if which.status != "dead":
        raise ValueError(f"only letters that wait can be replayed, not {which.status} ones")
    newest_id = await changes.newest_id(db)
    after: Cursor | None = None
    while True:
        async with db.acquire() as connection, connection.transaction():
            page = await changes.take(
                connection, which, after=after, newest_id=newest_id, limit=size
            )
            done, trouble = await _replay(connection, pool, page)
        if page:
            after = page[-1].letter.cursor
            yield done
        if trouble is not None:
            raise trouble
        if len(page) < size:
            return


async def _pages_of_ids(
    db: Db, pool: Pool, dead_letter_ids: Sequence[int], size: int
) -> AsyncIterator[Replayed]:
    ids = list(dict.fromkeys(dead_letter_ids))
    for start in range(0, len(ids), size):
        asked = ids[start : start + size]
        async with db.acquire() as connection, connection.transaction():
            page = await changes.take_these(connection, asked)
            done, trouble = await _replay(connection, pool, page)
        there = {taken.letter.dead_letter_id for taken in page}
        gone = [one for one in asked if one not in there]
        unfit = [Unfit(one, gone_error(one), is_gone=True) for one in gone]
        yield Replayed(done.dead_letter_ids, unfit + done.unfit)
        if trouble is not None:
            raise trouble


async def _replay(
    connection: Connection, pool: Pool, page: Sequence[Taken]
) -> tuple[Replayed, BaseException | None]:
    """Enqueue the letters that fit, and mark those that Redis has taken.

    The others stay as they were; what kept Redis from taking them is for the caller to raise when
    its transaction is over, so that it does not undo the marks.
    """
    fitting: list[tuple[Taken, Job[Any, Any]]] = []
    unfit = []
    for taken in page:
        try:
            fitting.append((taken, _job_of(taken.letter)))
        except (DeadLetterError, PayloadError) as error:
            unfit.append(Unfit(taken.letter.dead_letter_id, error))
    outcomes = await asyncio.gather(
        *(_enqueue(pool, taken, job) for taken, job in fitting), return_exceptions=True
    )
    trouble = next((error for error in outcomes if error is not None), None)
    ids = [
        taken.letter.dead_letter_id
        for (taken, _), error in zip(fitting, outcomes, strict=True)
        if error is None
    ]
    await changes.mark_replayed(connection, ids)
    return Replayed(ids, unfit), trouble


def _job_of(letter: DeadLetter) -> Job[Any, Any]:
    """Raises DeadLetterError, PayloadError."""
    job = discover().get(letter.job)
    if letter.payload is None or job is None:
        what = "its payload could not be read" if letter.payload is None else "its job is unknown"
        raise DeadLetterError(f"dead letter {letter.dead_letter_id} cannot be replayed: {what}")
    job.read(letter.payload)
    return job


async def _enqueue(pool: Pool, taken: Taken, job: Job[Any, Any]) -> None:
    if taken.is_replayed:  # by somebody who broke off before the mark
        return
    letter = taken.letter
    headers = dict(letter.headers or {})
    # Its effects have the key of the very first run, however often it was replayed since.
    origin = headers.get(ORIGIN) or headers.get("replay") or taken.replay_of or letter.run_id
    await pool.enqueue_raw(
        job.name,
        letter.payload or {},  # as it is: a worker of a newer version knows more of its fields
        queue=job.queue,
        run_id=replay_id(letter.dead_letter_id),
        headers={
            **headers,
            "cid": letter.correlation_id,
            "replay": letter.run_id,
            ORIGIN: origin,
        },
    )
