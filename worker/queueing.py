"""Typed functions with which a deal room enqueues: operations are enumerated, wrong ones raise.

    enqueued = await queue_document_processing(pool, document_id, deal_id, "extract_risks")

They enqueue under the names that deal rooms know, which are aliases of the jobs behind them, and
return as soon as Redis has the run. Inside a transaction it is `worker.outbox.enqueue_in` with the
same name and payload. Besides their ValueError, which names the argument, each raises
UnknownJobError when no job has that name, PayloadError for an id that the job does not take, and
RedisError.
"""

import datetime as dt
import functools
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

from jobs.kit import Enqueued
from worker.clock import utc_now
from worker.enqueuer import Pool
from worker.settings import load_settings

DocumentOperation = Literal["summarize", "extract_risks", "classify"]
EmailOperation = Literal["analyze_sentiment", "detect_blocker"]
SourceType = Literal["gdrive", "sharepoint", "gmail", "outlook"]
SyncType = Literal["incremental", "full"]
# Ids are the database's UUIDs; a text of one does as well, and the job's payload checks it.
Id: TypeAlias = UUID | str

DAILY_BRIEF: Final = "daily-brief"
DOCUMENT_PROCESSING: Final = "document-processing"
EMAIL_PROCESSING: Final = "email-processing"
SOURCE_SYNC: Final = "source-sync"


async def queue_daily_brief(
    pool: Pool,
    deal_id: Id,
    date: dt.date | None = None,
    *,
    clock: Callable[[], dt.datetime] = utc_now,
) -> Enqueued:
    """Make a deal's brief of a day; by default of today, as it is in the zone TIMEZONE.

    One run a deal and date: a repeat leads to the run that is there (`is_new` is false), while the
    job's idempotency key is taken. Raises ValueError, and SettingsError when TIMEZONE is asked for
    and the settings are wrong.
    """
    if date is None:
        date = clock().astimezone(configured_zone()).date()
    # A datetime is a date, too, and which day it means depends on a zone.
    if not isinstance(date, dt.date) or isinstance(date, dt.datetime):
        raise ValueError(  # noqa: TRY004 - a wrong argument is one kind of error here
            "date: give a datetime.date without a time, or None for today"
        )
    return await _enqueue(pool, DAILY_BRIEF, deal_id=deal_id, date=date.isoformat())


async def queue_document_processing(
    pool: Pool, document_id: Id, deal_id: Id, operation: DocumentOperation
) -> Enqueued:
    """Summarise a document, extract its risks, or classify its workstream. Raises ValueError."""
    _check("operation", operation, DocumentOperation)
    return await _enqueue(
        pool, DOCUMENT_PROCESSING, document_id=document_id, deal_id=deal_id, operation=operation
    )


async def queue_email_processing(
    pool: Pool, email_id: Id, deal_id: Id, operation: EmailOperation
) -> Enqueued:
    """Analyse an e-mail's sentiment, or find what it says to block the deal. Raises ValueError."""
    _check("operation", operation, EmailOperation)
    return await _enqueue(
        pool, EMAIL_PROCESSING, email_id=email_id, deal_id=deal_id, operation=operation
    )


async def queue_source_sync(
    pool: Pool, deal_id: Id, source_type: SourceType, sync_type: SyncType
) -> Enqueued:
    """Sync a source of a deal: what changed since the last time, or all of it anew.

    The deal rooms' interface names no values of `sync_type`: these are the two that the pipeline
    knows. Raises ValueError.
    """
    _check("source_type", source_type, SourceType)
    _check("sync_type", sync_type, SyncType)
    return await _enqueue(
        pool, SOURCE_SYNC, deal_id=deal_id, source_type=source_type, sync_type=sync_type
    )


@functools.cache
def configured_zone() -> ZoneInfo:
    """TIMEZONE, as it was at the first call: a read of all settings takes milliseconds.

    Raises SettingsError.
    """
    return ZoneInfo(load_settings().timezone)


def _check(name: str, value: object, choices: Any) -> None:
    """The value itself is not told: who mixes arguments up may have put anything there."""
    if value not in get_args(choices):
        raise ValueError(f"{name}: choose one of {', '.join(get_args(choices))}")


async def _enqueue(pool: Pool, alias: str, **fields: Id) -> Enqueued:
    return await pool.enqueue(alias, {name: str(value) for name, value in fields.items()})
