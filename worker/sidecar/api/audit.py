"""The audit log, for admins to read."""

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from worker.audit import Written, page
from worker.sidecar.access.principal import Role
from worker.sidecar.api.operation import Answered, Call, Instant, Page, PageParameters, operation
from worker.sidecar.api.paging import cursor, page_of, place


class AuditFilter(PageParameters):
    action: str | None = Field(None, max_length=100, description="As in `queue.pause`.")
    principal: str | None = Field(None, max_length=200)
    outcome: Literal["begun", "done", "failed", "refused"] | None = None
    since: Instant | None = None
    until: Instant | None = None


class AuditEntry(Answered):
    """`outcome` begun: what it did is not known (yet); refused: it was not even tried.

    `affected` is to how many it was done, `error` the code of what kept it from being done.
    """

    audit_id: int
    at: AwareDatetime
    principal: str
    role: str
    credential: str
    tenant_id: UUID | None
    action: str
    outcome: Literal["begun", "done", "failed", "refused"]
    targets: list[str]
    filter: dict[str, Any] | None
    affected: int | None
    reason: str | None
    error: str | None
    ip: str
    user_agent: str
    request_id: str


@operation(
    "GET",
    "/audit",
    tag="audit",
    role=Role.ADMIN,
    summary="Who did what, newest first.",
)
async def list_audit_entries(call: Call[AuditFilter, None]) -> Page[AuditEntry]:
    asked = call.parameters
    found = await page(
        call.services.db,
        before=place(asked.after, int),
        limit=asked.limit + 1,
        **asked.model_dump(exclude={"after", "limit"}),
    )
    return page_of(found, asked.limit, _shown, lambda last: cursor(last.audit_id))


def _shown(written: Written) -> AuditEntry:
    entry = written.entry
    fields = {name: getattr(entry, name) for name in entry.__slots__}
    return AuditEntry(
        **{**fields, "targets": list(entry.targets)},
        audit_id=written.audit_id,
        at=written.at,
        outcome=written.outcome,
        affected=written.affected,
        error=written.error,
    )
