"""Notices to admins: what is wrong, and what was."""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from worker.notices.notice import Notice
from worker.notices.queries import page
from worker.notices.undelivered.queries import undelivered
from worker.sidecar.access.principal import Role
from worker.sidecar.api.errors import within
from worker.sidecar.api.operation import (
    Answered,
    Call,
    Page,
    PageParameters,
    Parameters,
    operation,
)
from worker.sidecar.api.paging import cursor, page_of, place


class NoticeQuery(PageParameters):
    kind: Literal["failures", "waiting", "unserved"] | None = None
    queue: str | None = Field(None, max_length=200)
    job: str | None = Field(None, max_length=200)
    is_open: bool | None = Field(None, description="True: those that are not over; false: others.")


class NoticeItem(Answered):
    """`failures`: runs of `job` fail with `error_type`; `waiting`: more runs wait in `queue` than
    `threshold`; `unserved`: runs wait there, and no worker serves it.

    `count` are the failures since it was opened, or the runs that wait now; `most` its highest
    value; `dead` the runs that were given up on. `told` is how often admins were told, last at
    `told_at`; `closed_at` when it was over.
    """

    notice_id: int
    kind: Literal["failures", "waiting", "unserved"]
    queue: str | None
    job: str | None
    error_type: str | None
    count: int
    most: int
    dead: int
    threshold: int
    run_ids: list[str]
    first_at: AwareDatetime
    last_at: AwareDatetime
    opened_at: AwareDatetime
    told: int
    told_at: AwareDatetime | None
    closed_at: AwareDatetime | None


@operation(
    "GET",
    "/notices",
    tag="notices",
    role=Role.ADMIN,
    summary="What admins were told of, newest first.",
)
async def list_notices(call: Call[NoticeQuery, None]) -> Page[NoticeItem]:
    """Also where no address and no webhook is set. Those that are over are kept `KEEP_DAYS`."""
    asked = call.parameters
    async with within():
        found = await page(
            call.services.db,
            before=place(asked.after, int),
            limit=asked.limit + 1,
            **asked.model_dump(exclude={"after", "limit"}),
        )
    return page_of(found, asked.limit, _shown, lambda last: cursor(last.notice_id))


class UndeliveredItem(Answered):
    """An address of ALERT_EMAIL whose last notice came back: `outcome` says how, `code` with which
    status of SMTP.
    """

    address: str
    outcome: str
    code: str | None
    at: AwareDatetime


class UndeliveredList(Answered):
    items: list[UndeliveredItem]


@operation(
    "GET",
    "/notices/undelivered",
    tag="notices",
    role=Role.ADMIN,
    summary="Where notices by mail came back, as far as their provider tells; of the last month.",
)
async def list_undelivered(call: Call[Parameters, None]) -> UndeliveredList:
    """Notices are sent there all the same: see to the mailbox, or set another in ALERT_EMAIL."""
    async with within():
        found = await undelivered(call.services.db, now=call.services.clock())
    return UndeliveredList(items=[UndeliveredItem(**asdict(one)) for one in found])


def _shown(notice: Notice) -> NoticeItem:
    fields: dict[str, Any] = asdict(notice)
    return NoticeItem(**{**fields, "run_ids": list(notice.run_ids), "told": notice.edition})
