"""Failed attempts, counted by the minute in the transaction that writes them down.

So each counts once, whichever worker writes it and however often it is delivered. What became of
the counts is told in `worker/notices`.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from jobs.operations.send_notice_mail import send_notice_mail
from jobs.operations.send_notice_webhook import send_notice_webhook
from worker.ending import State
from worker.records import TICK, AttemptRecord
from worker.telemetry.patterns import redact_text

FAILED: Final = (State.RETRYING, State.DEAD)
# A notice that cannot be sent is no reason for another one.
_UNCOUNTED: Final = frozenset({send_notice_mail.name, send_notice_webhook.name})
_LIMIT = 200  # characters of a foreign name
_WITHOUT_ERROR = "unknown"
_RANDOM_ID = re.compile(r"[0-9a-f]{32}")

# Of the rows in $2 those whose attempts are new; in one order, so that no two writers, or who looks
# at the counts, wait for each other in turn.
COUNT_NEW: Final = """
    insert into failure_minutes as known
           (minute, job, error_type, queue, failures, dead, scheduled, first_at, last_at, run_ids)
    select date_trunc('minute', ended_at), job, error_type, min(queue), count(*),
           count(*) filter (where is_dead), count(*) filter (where is_dead and is_scheduled),
           min(ended_at), max(ended_at),
           coalesce((array_agg(run_id order by ended_at desc)
                     filter (where run_id is not null))[1:5], '{}')
      from json_to_recordset($2) as failed (event_id text, job text, error_type text, queue text,
                                            run_id text, is_dead boolean, is_scheduled boolean,
                                            ended_at timestamptz)
      join new using (event_id)
     group by 1, 2, 3 order by 1, 2, 3
        on conflict (minute, job, error_type) do update
       set failures = known.failures + excluded.failures,
           dead = known.dead + excluded.dead,
           scheduled = known.scheduled + excluded.scheduled,
           first_at = least(known.first_at, excluded.first_at),
           last_at = greatest(known.last_at, excluded.last_at),
           run_ids = (excluded.run_ids || known.run_ids)[1:5]
"""


def failure_rows(records: Iterable[tuple[str, AttemptRecord]]) -> list[dict[str, Any]]:
    """Of these attempts, by their event, those that count as failures."""
    return [
        {
            "event_id": event_id,
            "job": _named(record.job),
            "error_type": _named(record.error_type or record.reason or _WITHOUT_ERROR),
            "queue": record.queue,
            "run_id": _told(record.run_id),
            "is_dead": record.state is State.DEAD,
            "is_scheduled": record.run_id.startswith(TICK),
            "ended_at": record.ended_at,
        }
        for event_id, record in records
        if record.state in FAILED and record.job not in _UNCOUNTED
    ]


@lru_cache(maxsize=1024)  # the same few, by the thousand
def _named(text: str) -> str:
    """Names go out by mail, and unknown jobs are called as somebody outside pleases."""
    return redact_text(text[:_LIMIT].replace("\x00", "\N{SYMBOL FOR NULL}"))


def _told(run_id: str) -> str | None:
    """An id that callers chose may be long, or an address: then it is not told."""
    if _RANDOM_ID.fullmatch(run_id):  # as most are: to look closer takes 30 microseconds
        return run_id
    is_plain = len(run_id) <= _LIMIT and run_id.isprintable()
    return run_id if is_plain and redact_text(run_id) == run_id else None
