"""A worker keeps what it has, whatever its event loop or Redis is doing."""

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import pytest
from redis import Redis as SyncRedis
from structlog.testing import capture_logs

from jobs.kit import QUEUES
from tests.worker.conftest import SpawnValkey, until
from tests.worker.engine.desk import Desk, over
from tests.worker.engine.fake_redis import fake_redis
from worker.engine.claims import Claim
from worker.engine.keeper import Keeper
from worker.engine.writer import NEW, Line, NewRun, RunWriter
from worker.enqueuer import Pool
from worker.redis_pool import open_redis, open_redis_for_thread

DEFAULT = QUEUES["default"]
LEASE = timedelta(seconds=1.5)
BLOCKED = "The event loop is blocked"


class Kept:
    """What the keeper keeps, and what it said."""

    def __init__(self, redis: SyncRedis, *, beat: Callable[[SyncRedis], object]) -> None:
        self.claims: Sequence[Claim] = []
        self.lost: list[Claim] = []
        self.stalls: list[float] = []
        self.beats: list[float] = []
        self.threads: set[int] = set()
        self._beat = beat
        self.keeper = Keeper(
            redis,
            lease=LEASE,
            claims=lambda: self.claims,
            on_lost=self._lose,
            on_stall=self.stalls.append,
            beat=self._note_beat,
            beat_every=timedelta(seconds=0.4),
        )

    def _lose(self, claims: Sequence[Claim]) -> None:
        self.lost += claims
        self.threads.add(threading.get_ident())

    def _note_beat(self, redis: SyncRedis) -> None:
        self.beats.append(time.monotonic())
        self._beat(redis)


@asynccontextmanager
async def keeping(
    redis: SyncRedis, *, beat: Callable[[SyncRedis], object] = id
) -> AsyncIterator[Kept]:
    kept = Kept(redis, beat=beat)
    kept.keeper.start()
    try:
        yield kept
    finally:
        await kept.keeper.stop()
        assert "keeper" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
async def kept(redis_url: str) -> AsyncIterator[Kept]:
    async with keeping(open_redis_for_thread(redis_url)) as kept:
        yield kept


@contextmanager
def desk_on(pool: Pool, worker_id: str = "w1") -> Iterator[Desk]:
    with contextlib.closing(Desk(pool, worker_id=worker_id, lease=LEASE)) as desk:
        yield desk


@pytest.fixture
def desk(pool: Pool) -> Iterator[Desk]:
    with desk_on(pool) as desk:
        yield desk


async def claim_new(pool: Pool, desk: Desk, *, runs: int = 1) -> list[Claim]:
    """Claims of as many new runs."""
    writer = RunWriter(pool)
    line = Line(queue_key=DEFAULT.key, job="testing.add_line")
    verdicts = await writer.write(line, [NewRun(f"run{n}", b"{}") for n in range(runs)])
    assert set(verdicts) == {NEW}
    writer.close()
    claims: list[Claim] = []
    while len(claims) < runs:
        claims += await desk.claim({DEFAULT: runs})
    return claims


async def is_true(condition: Callable[[], object]) -> bool:
    return bool(condition())


# Renewing


async def test_a_blocked_event_loop_loses_no_lease(pool: Pool, desk: Desk, kept: Kept) -> None:
    kept.claims = (claim,) = await claim_new(pool, desk)

    time.sleep(3.5)  # noqa: ASYNC251 - blocking is what is tested

    assert await pool.get("arq:in-progress:run0") == claim.token.encode()
    with desk_on(pool, "w2") as other:
        assert await other.claim({DEFAULT: 1}) == []
    assert await desk.finish(claim, over())


async def test_all_of_many_leases_are_renewed(pool: Pool, desk: Desk, kept: Kept) -> None:
    kept.claims = claims = await claim_new(pool, desk, runs=1200)
    before = {claim.run_id: claim.leased_ms for claim in claims}

    await asyncio.sleep(1.8)

    assert all(claim.leased_ms > before[claim.run_id] for claim in claims)
    assert await pool.exists(*(f"arq:in-progress:{claim.run_id}" for claim in claims)) == 1200
    assert kept.lost == []


async def test_a_lost_lease_is_told_on_the_event_loop(pool: Pool, desk: Desk, kept: Kept) -> None:
    lost, held = claims = await claim_new(pool, desk, runs=2)
    await pool.set(f"arq:in-progress:{lost.run_id}", "somebody else's", px=60_000)
    leased = lost.leased_ms

    kept.claims = claims
    await until(lambda: is_true(lambda: kept.lost))

    assert set(map(id, kept.lost)) == {id(lost)}
    assert kept.threads == {threading.get_ident()}
    assert lost.leased_ms == leased < held.leased_ms


async def test_a_redis_that_froze_for_longer_than_the_lease_costs_none(
    spawn_valkey: SpawnValkey,
) -> None:
    process, url = spawn_valkey()
    pool = open_redis(url, Pool)
    with desk_on(pool) as desk, capture_logs() as log:
        async with keeping(SyncRedis.from_url(url, socket_timeout=0.3)) as kept:
            kept.claims = (claim,) = await claim_new(pool, desk)
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(2.5)
            unrenewed = kept.keeper.unrenewed
            process.send_signal(signal.SIGCONT)
            leased = claim.leased_ms
            await until(lambda: is_true(lambda: claim.leased_ms > leased))
            await until(lambda: is_true(lambda: kept.keeper.unrenewed < 1))

            assert kept.lost == []
            assert await desk.finish(claim, over())
    await pool.aclose()
    assert unrenewed > LEASE.total_seconds()
    assert "Redis is away, a chore waits" in {entry["event"] for entry in log}


async def test_a_cut_connection_is_made_anew(pool: Pool, desk: Desk, kept: Kept) -> None:
    kept.claims = (claim,) = await claim_new(pool, desk)
    await until(lambda: is_true(lambda: len(kept.beats) > 1))

    await pool.client_kill_filter(_type="normal", skipme=True)
    leased = claim.leased_ms

    await until(lambda: is_true(lambda: claim.leased_ms > leased))
    assert kept.lost == []


# Signs of life


async def test_beats_go_on_while_the_event_loop_is_blocked(kept: Kept) -> None:
    time.sleep(1.5)  # noqa: ASYNC251 - blocking is what is tested

    pauses = [later - sooner for sooner, later in zip(kept.beats, kept.beats[1:], strict=False)]
    assert len(kept.beats) >= 3
    assert all(pause >= 0.35 for pause in pauses)


async def test_a_beat_that_fails_stops_no_renewal(pool: Pool, desk: Desk, redis_url: str) -> None:
    def fail(redis: SyncRedis) -> None:
        raise ValueError("no")

    with capture_logs() as log:
        async with keeping(open_redis_for_thread(redis_url), beat=fail) as kept:
            kept.claims = (claim,) = await claim_new(pool, desk)
            leased = claim.leased_ms
            await until(lambda: is_true(lambda: claim.leased_ms > leased))
            await until(lambda: is_true(lambda: len(kept.beats) > 1))

    assert {entry["event"] for entry in log} == {"A chore failed"}


async def test_it_tells_how_long_the_event_loop_takes_to_answer(kept: Kept) -> None:
    await until(lambda: is_true(lambda: kept.beats))
    await asyncio.sleep(0.6)
    idle = kept.keeper.lag

    time.sleep(1.2)  # noqa: ASYNC251 - blocking is what is tested
    unanswered = kept.keeper.lag
    await asyncio.sleep(0)

    assert idle < 0.4
    assert unanswered > 0.5
    await until(lambda: is_true(lambda: kept.keeper.lag < 0.4))


async def test_what_blocks_the_event_loop_is_named_once(kept: Kept) -> None:
    def write_the_annual_report() -> None:
        time.sleep(2.6)

    await until(lambda: is_true(lambda: kept.beats))
    with capture_logs() as log:
        write_the_annual_report()
        await until(lambda: is_true(lambda: kept.stalls))

    blocked = [entry for entry in log if entry["event"] == BLOCKED]
    assert len(blocked) == 1
    assert "write_the_annual_report" in blocked[0]["stack"]
    assert blocked[0]["log_level"] == "error"
    assert len(kept.stalls) == 1
    assert 1 < kept.stalls[0] < 10


async def test_a_second_block_is_named_too(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.engine.keeper._STALL", 0.5)
    with capture_logs() as log:
        for _ in range(2):
            kept.stalls.clear()
            time.sleep(1.2)  # noqa: ASYNC251 - blocking is what is tested
            await until(lambda: is_true(lambda: kept.stalls))

    assert [entry["event"] for entry in log].count(BLOCKED) >= 2


async def test_an_event_loop_that_waits_is_not_blocked(kept: Kept) -> None:
    with capture_logs() as log:
        await asyncio.sleep(2)

    assert log == []
    assert kept.stalls == []


# Ending


async def test_it_ends_soon_while_redis_hangs() -> None:
    async def hang(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        """Say nothing."""

    async with fake_redis() as fake:
        fake.behaviour = hang
        redis = SyncRedis.from_url(fake.url, socket_timeout=1)
        async with keeping(redis, beat=lambda redis: redis.get("x")) as kept:
            await until(lambda: is_true(lambda: fake.seen))
            began = time.monotonic()

    assert kept.beats
    assert time.monotonic() - began < 5
