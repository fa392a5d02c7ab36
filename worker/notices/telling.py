"""From a notice to the log, and to the runs that send it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from jobs.operations.core import Trouble
from jobs.operations.send_notice_mail import NoticeMail, send_notice_mail
from jobs.operations.send_notice_webhook import NoticeWebhook, send_notice_webhook
from worker.notices.notice import Kind, Told
from worker.notices.queries import Connection
from worker.outbox import enqueue_in
from worker.telemetry.logs import get_logger

_MOST: Final = 20  # in one mail
_WORDS: Final[dict[Kind, str]] = {
    "failures": "Runs fail again and again",
    "waiting": "Too many runs wait",
    "unserved": "Runs wait in a queue that no worker serves",
}
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Who is told: these addresses, and the webhook if there is one."""

    addresses: tuple[str, ...] = ()
    has_webhook: bool = False
    language: Literal["en", "tr"] = "en"
    timezone: str = "UTC"
    service: str = "worker-service"
    environment: str = "production"


async def enqueue_messages(
    connection: Connection, told: Sequence[Told], channels: Channels, now: datetime
) -> None:
    """With the transaction that changes the notices: one mail for all of it, and an event each."""
    troubles = tuple(map(trouble_of, told))
    if not troubles:
        return
    for address in channels.addresses:
        mail = NoticeMail(
            to=address,
            language=channels.language,
            timezone=channels.timezone,
            service=channels.service,
            environment=channels.environment,
            troubles=troubles[:_MOST],
            more=max(len(troubles) - _MOST, 0),
        )
        await enqueue_in(connection, send_notice_mail, mail)
    for trouble in troubles if channels.has_webhook else ():
        event = NoticeWebhook(
            at=now,
            service=channels.service,
            environment=channels.environment,
            trouble=trouble,
        )
        await enqueue_in(connection, send_notice_webhook, event)


def announce(told: Told) -> None:
    """One line in the log."""
    notice = told.notice
    say = _log.info if told.change == "closed" else _log.warning
    words = _WORDS[notice.kind]
    say(
        f"{words}: it is over" if told.change == "closed" else words,
        notice_id=notice.notice_id,
        change=told.change,
        queue=notice.queue,
        count=notice.count,
        since_last=told.since_last,
        **{"failed_job": notice.job, "error_type": notice.error_type} if notice.job else {},
    )


def trouble_of(told: Told) -> Trouble:
    notice = told.notice
    assert notice.notice_id is not None  # noqa: S101 - it was saved
    assert notice.opened_at is not None  # noqa: S101 - nobody is told of a suspicion
    return Trouble(
        notice_id=notice.notice_id,
        edition=notice.edition,
        kind=notice.kind,
        change=told.change,
        queue=notice.queue,
        job=notice.job,
        error_type=notice.error_type,
        count=notice.count,
        since_last=told.since_last,
        most=notice.most,
        dead=notice.dead,
        threshold=notice.threshold,
        run_ids=notice.run_ids,
        first_at=notice.first_at,
        last_at=notice.last_at,
        opened_at=notice.opened_at,
    )
