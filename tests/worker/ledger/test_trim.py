"""Events stay until they are written and were there for those who follow."""

import asyncio

import pytest

from worker.enqueuer import Pool
from worker.ledger.trim import trim

STREAM, GROUP = "events", "ledger"


@pytest.fixture
async def ids(pool: Pool) -> list[bytes]:
    """Five entries; the first four are delivered, the first two acknowledged."""
    await pool.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    ids = [await pool.xadd(STREAM, {"n": number}) for number in range(5)]
    await pool.xreadgroup(GROUP, "me", {STREAM: ">"}, count=4)
    await pool.xack(STREAM, GROUP, *ids[:2])
    await asyncio.sleep(0.002)  # so that all are older than now
    return ids


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody follows."""
    monkeypatch.setattr("worker.ledger.trim._FOLLOWED_MS", 0)


async def left(pool: Pool) -> list[bytes]:
    return [entry_id for entry_id, _ in await pool.xrange(STREAM)]


async def test_what_somebody_may_follow_stays(pool: Pool, ids: list[bytes]) -> None:
    await pool.xack(STREAM, GROUP, *ids)

    assert not await trim(pool, STREAM, GROUP)
    assert await left(pool) == ids


async def test_what_is_delivered_and_not_acknowledged_stays_with_all_after_it(
    pool: Pool, ids: list[bytes], at_once: None
) -> None:
    await pool.xack(STREAM, GROUP, ids[3])

    assert not await trim(pool, STREAM, GROUP)
    assert await left(pool) == ids[2:]


async def test_what_is_not_read_yet_stays(pool: Pool, ids: list[bytes], at_once: None) -> None:
    await pool.xack(STREAM, GROUP, *ids)

    assert await trim(pool, STREAM, GROUP)
    assert await left(pool) == ids[4:]


async def test_an_empty_stream_is_no_trouble(pool: Pool) -> None:
    await pool.xgroup_create(STREAM, GROUP, id="0", mkstream=True)

    assert await trim(pool, STREAM, GROUP)
