"""Three worker processes share all work; one is killed in the middle (X-05, Q-15 to Q-17)."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING

import pytest
import trustme

from jobs.kit import QUEUES
from tests.clients.stand_ins.smtp_relay import SmtpRelay, smtp_relay
from tests.worker.conftest import StartWorker, until
from tests.worker.trouble_jobs import NAPS, Mark, marks_in, send_mail
from tests.worker.trouble_servers import Load, Workers, exit_code, workers_in
from worker.enqueuer import Pool

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

LEASE = 3  # seconds
TAKEN_OVER_WITHIN = LEASE + 5
MAILS = 120
# Runs and seconds of each, by queue: so that every worker has something in hand for a while.
WORK = {
    "default": (60, 0.2),
    "document": (50, 0.2),
    "sync": (40, 0.15),
    "daily-brief": (30, 0.15),
}
LONG = {"default": 6, "document": 3, "sync": 3}
LONG_SECONDS = 5.0


@pytest.fixture
async def relay() -> AsyncIterator[SmtpRelay]:
    async with smtp_relay(trustme.CA(), security="none", has_auth=False) as relay:
        yield relay


@pytest.fixture
def workers(
    tmp_path: Path, database_url: str, redis_url: str, relay: SmtpRelay
) -> Iterator[Workers]:
    servers = {"database_url": database_url, "redis_url": redis_url}
    with workers_in(
        tmp_path,
        **servers,
        RUN_LEASE=str(LEASE),
        KEEP_COMPLETED="1000",
        EMAIL_PROVIDER="smtp",
        SMTP_HOST="127.0.0.1",
        SMTP_PORT=str(relay.port),
        SMTP_SECURITY="none",
    ) as workers:
        yield workers


@pytest.fixture
def load(pool: Pool, tmp_path: Path) -> Load:
    return Load(pool, tmp_path / "marks")


@pytest.mark.timeout(120)  # four processes on a busy machine
async def test_three_workers_share_all_runs_and_lose_none_when_one_is_killed(
    workers: Workers, load: Load, relay: SmtpRelay, db: "Db"
) -> None:
    for _ in range(3):
        workers.start()
    for number in range(3):
        await workers.until_logged("Worker started", number)
    adding = asyncio.create_task(add_everything(load))
    victim = await until(lambda: with_long_run(workers, load))

    victim.kill()
    killed_at = time.time()
    await asyncio.to_thread(victim.wait)
    await adding

    await until(lambda: are_over(db, load), within=40)
    for survivor in set(workers.processes) - {victim}:
        survivor.terminate()
        assert await exit_code(survivor) == 0
    marks = marks_in(load.path)
    assert {mark.pid for mark in marks} == {process.pid for process in workers.processes}
    left = left_by(victim.pid, marks)
    check_takeover(left, marks, killed_at)
    check_marks(left, marks, load)
    check_mails(left, relay, load)
    await check_history(db, left, load)
    most = most_at_once(marks)
    assert {queue: most[queue] <= QUEUES[queue].concurrency for queue in most} == dict.fromkeys(
        most, True
    )


async def add_everything(load: Load) -> None:
    for queue, count in LONG.items():
        for _ in range(count):
            await load.add(NAPS[queue], seconds=LONG_SECONDS)
    for _ in range(MAILS):
        await load.add(send_mail)
    for queue, (count, seconds) in WORK.items():
        for _ in range(count):
            await load.add(NAPS[queue], seconds=seconds)


async def with_long_run(workers: Workers, load: Load) -> "Popen[str] | None":
    """A worker that has something in hand for a while, when the mails have begun."""
    marks = marks_in(load.path)
    if not any(mark.queue == "email" for mark in marks):
        return None
    longs = range(sum(LONG.values()))
    busy = [one for one in workers.processes if not left_by(one.pid, marks).isdisjoint(longs)]
    return busy[0] if busy else None


async def are_over(db: "Db", load: Load) -> bool:
    over = "select count(*) from job_runs where state in ('succeeded', 'dead')"
    return bool(await db.fetchval(over) == len(load.handles))


def left_by(pid: int, marks: Iterable[Mark]) -> set[int]:
    """What a worker had in hand when it was killed."""
    ended = {mark.number for mark in marks if mark.pid == pid and mark.event == "end"}
    return {mark.number for mark in marks if mark.pid == pid} - ended


def check_takeover(left: set[int], marks: Sequence[Mark], killed_at: float) -> None:
    assert left & set(range(sum(LONG.values())))
    for number in left:
        again = [mark.at for mark in marks if mark.number == number and mark.event == "begin"][1:]
        assert len(again) == 1, f"run {number} began {len(again)} times after the kill"
        assert again[0] - killed_at < TAKEN_OVER_WITHIN


def check_marks(left: set[int], marks: Sequence[Mark], load: Load) -> None:
    """Begun once, and what the killed one had left twice; a crash is no attempt."""
    begun = Counter(mark.number for mark in marks if mark.event == "begin")
    assert begun == {number: 1 + (number in left) for number in load.handles}
    assert {mark.attempt for mark in marks if mark.number not in left} == {1}


def check_mails(left: set[int], relay: SmtpRelay, load: Load) -> None:
    """Each once; of what the killed one had in hand, at most once: SMTP cannot be asked."""
    sent = Counter(str(message["To"]) for message in relay.messages)
    first = sum(LONG.values())
    mails = range(first, first + MAILS)
    certain = {f"person-{number}@tenant.example" for number in set(mails) - left}
    assert set(sent.values()) == {1}
    assert certain <= sent.keys()
    assert len(sent) <= MAILS


async def check_history(db: "Db", left: set[int], load: Load) -> None:
    """All succeeded at their first attempt, but for mails of which nobody knows."""
    rows = await db.fetch("select run_id, state, attempt from job_runs")
    assert {row["run_id"] for row in rows} == load.run_ids
    assert {row["attempt"] for row in rows} == {1}
    dead = {row["run_id"] for row in rows if row["state"] == "dead"}
    assert dead <= {load.handles[number].job_id for number in left}
    in_doubt = await db.fetchval("select count(*) from deliveries where status <> 'sent'")
    assert in_doubt == len(dead)


def most_at_once(marks: Iterable[Mark]) -> dict[str, int]:
    """By queue, the most that one process had begun and not ended."""
    running: Counter[tuple[int, str]] = Counter()
    most: dict[str, int] = {}
    for mark in sorted(marks, key=lambda mark: mark.at):
        running[mark.pid, mark.queue] += {"begin": 1, "end": -1}.get(mark.event, 0)
        most[mark.queue] = max(most.get(mark.queue, 0), running[mark.pid, mark.queue])
    return most


# One process

STATED = {"daily-brief": 2, "document": 5, "email": 10, "sync": 3}


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        ({}, STATED),
        ({"daily-brief": 6, "sync": 1}, {**STATED, "daily-brief": 6, "sync": 1}),
    ],
)
async def test_a_queue_runs_as_many_at_once_as_is_stated_and_never_more(
    start_worker: StartWorker, load: Load, raised: dict[str, int], expected: dict[str, int]
) -> None:
    await start_worker(queue_concurrency=raised)
    numbers = [await load.add(NAPS[queue], seconds=0.2) for queue in STATED for _ in range(23)]

    assert [await load.result(number) for number in numbers] == numbers

    assert most_at_once(marks_in(load.path)) == expected


@pytest.mark.parametrize(("concurrency", "at_least", "at_most"), [(2, 3.0, 15.0), (6, 1.0, 2.9)])
async def test_a_queue_with_more_concurrency_is_done_sooner(
    start_worker: StartWorker, load: Load, concurrency: int, at_least: float, at_most: float
) -> None:
    """Twelve runs that wait 0.5 s for something else: in six rounds, or in two."""
    await start_worker(queue_concurrency={"daily-brief": concurrency})
    began = time.monotonic()

    numbers = [await load.add(NAPS["daily-brief"], seconds=0.5) for _ in range(12)]
    for number in numbers:
        await load.until(number, "end")

    assert at_least <= time.monotonic() - began <= at_most
