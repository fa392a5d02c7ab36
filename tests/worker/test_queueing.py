"""A deal room enqueues with typed functions, and what it mistypes never reaches Redis."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from redis.exceptions import RedisError

from jobs.kit import QUEUES, Enqueued, PayloadError
from jobs.kit.declare import declared
from tests.worker import deal_jobs
from tests.worker.conftest import StartWorker
from worker.codec import decode_job
from worker.enqueuer import Pool, UnknownJobError
from worker.queueing import (
    configured_zone,
    queue_daily_brief,
    queue_document_processing,
    queue_email_processing,
    queue_source_sync,
)
from worker.redis_pool import open_redis
from worker.settings import SettingsError

DEAL, OTHER = UUID(int=1), UUID(int=2)
# 23:30 in New York, 06:30 of the next day in Istanbul.
LATE = datetime(2026, 11, 22, 4, 30, tzinfo=UTC)
DAY = date(2026, 11, 20)


@pytest.fixture(autouse=True)
def _fresh_zone() -> Iterator[None]:
    """The zone is read once, and each of these tests is a process of its own to it."""
    configured_zone.cache_clear()
    yield
    configured_zone.cache_clear()


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs behind a deal room's names, whichever are declared under them."""
    names = cast("dict[str, object]", declared())
    monkeypatch.setitem(names, "daily-brief", deal_jobs.brief_deal)
    monkeypatch.setitem(names, "document-processing", deal_jobs.process_document)
    monkeypatch.setitem(names, "email-processing", deal_jobs.process_email)
    monkeypatch.setitem(names, "source-sync", deal_jobs.sync_source)


async def payload_of(pool: Pool, run_id: str) -> Any:
    raw = await pool.get(f"arq:job:{run_id}")
    assert raw is not None
    return decode_job(raw).arguments


async def runs_on(pool: Pool, queue: str) -> int:
    return int(await pool.zcard(QUEUES[queue].key))


async def test_each_function_enqueues_its_job_on_its_queue(pool: Pool) -> None:
    item = uuid4()

    brief = await queue_daily_brief(pool, DEAL, DAY)
    document = await queue_document_processing(pool, item, DEAL, "extract_risks")
    email = await queue_email_processing(pool, item, DEAL, "detect_blocker")
    source = await queue_source_sync(pool, DEAL, "gdrive", "incremental")

    assert all(each.is_new for each in (brief, document, email, source))
    deal = {"deal_id": str(DEAL)}
    assert await payload_of(pool, brief.run_id) == {**deal, "date": "2026-11-20"}
    assert await payload_of(pool, document.run_id) == {
        **deal,
        "document_id": str(item),
        "operation": "extract_risks",
    }
    assert await payload_of(pool, email.run_id) == {
        **deal,
        "email_id": str(item),
        "operation": "detect_blocker",
    }
    assert await payload_of(pool, source.run_id) == {
        **deal,
        "source_type": "gdrive",
        "sync_type": "incremental",
    }
    for queue in ("daily-brief", "document", "email-processing", "sync"):
        assert await runs_on(pool, queue) == 1


@pytest.mark.parametrize(("zone", "day"), [(None, "2026-11-21"), ("Europe/Istanbul", "2026-11-22")])
async def test_a_brief_without_a_date_is_of_today_in_the_configured_zone(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, zone: str | None, day: str
) -> None:
    if zone is not None:
        monkeypatch.setenv("TIMEZONE", zone)

    brief = await queue_daily_brief(pool, DEAL, clock=lambda: LATE)

    assert (await payload_of(pool, brief.run_id))["date"] == day


async def test_a_deal_has_one_run_for_a_date(pool: Pool) -> None:
    first = await queue_daily_brief(pool, DEAL, DAY)
    again = await queue_daily_brief(pool, str(DEAL), DAY)
    others = [
        await queue_daily_brief(pool, DEAL, DAY + timedelta(days=1)),
        await queue_daily_brief(pool, OTHER, DAY),
    ]

    assert again == Enqueued(first.run_id, is_new=False)
    assert [each.is_new for each in others] == [True, True]
    assert await runs_on(pool, "daily-brief") == 3


async def test_a_worker_makes_what_was_enqueued(pool: Pool, start_worker: StartWorker) -> None:
    await start_worker()

    enqueued = await queue_email_processing(pool, OTHER, DEAL, "analyze_sentiment")

    handle = pool.handle(enqueued.run_id, deal_jobs.process_email)
    assert await handle.result(timeout=20) == {
        "email_id": str(OTHER),
        "deal_id": str(DEAL),
        "operation": "analyze_sentiment",
    }


async def test_a_brief_is_tried_three_times_with_ten_seconds_before_the_second() -> None:
    retry = QUEUES[deal_jobs.brief_deal.queue].retry

    assert deal_jobs.brief_deal.retry is None  # the queue's holds
    assert retry.attempts == 3
    waits = [retry.backoff.delay(attempt, chance=0) for attempt in (1, 2)]
    assert waits == [timedelta(seconds=10), timedelta(seconds=50)]


# What a type checker refuses, too: callers that have none are told at the call.
WRONG: Any = "ayse@anadolu.example"
MISTYPED: dict[str, tuple[Callable[[Pool], Awaitable[Enqueued]], str]] = {
    "document operation": (
        lambda pool: queue_document_processing(pool, OTHER, DEAL, WRONG),
        "operation: choose one of summarize, extract_risks, classify",
    ),
    "e-mail operation": (
        lambda pool: queue_email_processing(pool, OTHER, DEAL, WRONG),
        "operation: choose one of analyze_sentiment, detect_blocker",
    ),
    "source type": (
        lambda pool: queue_source_sync(pool, DEAL, WRONG, "full"),
        "source_type: choose one of gdrive, sharepoint, gmail, outlook",
    ),
    "sync type": (
        lambda pool: queue_source_sync(pool, DEAL, "gmail", WRONG),
        "sync_type: choose one of incremental, full",
    ),
    "no date": (
        lambda pool: queue_daily_brief(pool, DEAL, WRONG),
        "date: give a datetime.date without a time, or None for today",
    ),
    "an instant": (
        lambda pool: queue_daily_brief(pool, DEAL, LATE),
        "date: give a datetime.date without a time, or None for today",
    ),
}


@pytest.mark.parametrize(("call", "sentence"), MISTYPED.values(), ids=MISTYPED)
async def test_a_wrong_argument_fails_at_the_call_and_names_the_choices(
    call: Callable[[Pool], Awaitable[Enqueued]], sentence: str
) -> None:
    nowhere = open_redis("redis://127.0.0.1:1", Pool)

    with pytest.raises(ValueError, match=r"choose one of|give a") as refusal:
        await call(nowhere)

    await nowhere.aclose()
    assert str(refusal.value) == sentence


async def test_an_id_that_the_job_does_not_take_is_named(pool: Pool) -> None:
    with pytest.raises(PayloadError, match="deal_id"):
        await queue_source_sync(pool, "deal 7", "outlook", "full")

    assert await runs_on(pool, "sync") == 0


async def test_a_name_without_a_job_is_said_to_be_unknown(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(cast("dict[str, object]", declared()), "source-sync")

    with pytest.raises(UnknownJobError, match="no job is called 'source-sync'"):
        await queue_source_sync(pool, DEAL, "gdrive", "full")


async def test_todays_brief_needs_settings_that_are_right_and_another_days_none(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMEZONE", "Mars/Olympus")

    with pytest.raises(SettingsError, match="TIMEZONE"):
        await queue_daily_brief(pool, DEAL)

    assert (await queue_daily_brief(pool, DEAL, DAY)).is_new


async def test_a_redis_that_is_away_is_an_error_of_its_own() -> None:
    nowhere = open_redis("redis://127.0.0.1:1", Pool)

    with pytest.raises((RedisError, OSError)):
        await queue_source_sync(nowhere, DEAL, "gdrive", "full")

    await nowhere.aclose()
