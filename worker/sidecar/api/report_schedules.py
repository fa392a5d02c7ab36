"""Report schedules: which report somebody wants again and again, when, and to whom it goes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field

from jobs.kit.schedule import checked_line, checked_zone
from worker.schedules import reports
from worker.schedules.reports import ReportSchedule, Wanted
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited
from worker.sidecar.api.errors import ApiError, invalid, not_found, refusing
from worker.sidecar.api.operation import (
    Answered,
    Body,
    Call,
    Change,
    Page,
    PageParameters,
    Parameters,
    operation,
)
from worker.sidecar.api.paging import cursor, page_of, place

_MOST_RECIPIENTS = 50
Address = Annotated[
    str, Field(max_length=254, pattern=r"^[^@\s\x00-\x1f<>,;]{1,64}@[^@\s\x00-\x1f<>,;]{1,189}$")
]
Line = Annotated[str, Field(max_length=200), AfterValidator(checked_line)]
Zone = Annotated[str, Field(max_length=64), AfterValidator(checked_zone)]


class OneReportSchedule(Parameters):
    report_schedule_id: UUID


class NewReportSchedule(Body):
    """`tenant_id` is for callers that are bound to none."""

    tenant_id: UUID | None = Field(None, strict=False)
    name: str = Field(min_length=1, max_length=200)
    report_type: Literal["opportunities", "analytics"]
    format: Literal["pdf", "xlsx", "csv"]
    language: Literal["en", "tr"] = "en"
    period: Literal["day", "week", "month"] = Field(description="The last one that is over.")
    recipients: list[Address] = Field(max_length=_MOST_RECIPIENTS)
    line: Line = Field(description="A crontab line: 0 8 * * 1.")
    tz: Zone = Field("UTC", description="Its time zone, as in Europe/Istanbul.")

    def wanted(self) -> Wanted:
        return Wanted(**self.model_dump(exclude={"tenant_id"}))


class ReportScheduleChange(Change):
    """What is not given stays."""

    name: str | None = Field(None, min_length=1, max_length=200)
    report_type: Literal["opportunities", "analytics"] | None = None
    format: Literal["pdf", "xlsx", "csv"] | None = None
    language: Literal["en", "tr"] | None = None
    period: Literal["day", "week", "month"] | None = None
    recipients: list[Address] | None = Field(None, max_length=_MOST_RECIPIENTS)
    line: Line | None = None
    tz: Zone | None = None


class ReportScheduleShown(Answered):
    report_schedule_id: UUID
    tenant_id: UUID
    name: str
    report_type: str
    format: str
    language: str
    period: str
    recipients: list[str]
    line: str
    tz: str
    is_paused: bool
    next_due_at: AwareDatetime | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class Deleted(Answered):
    report_schedule_id: UUID


@operation(
    "GET",
    "/report-schedules",
    tag="report schedules",
    role=Role.VIEWER,
    tenants=True,
    summary="All report schedules, or one tenant's.",
)
async def list_report_schedules(call: Call[PageParameters, None]) -> Page[ReportScheduleShown]:
    asked = call.parameters
    after = place(asked.after, UUID)
    rows = await reports.page(call.services.db, call.tenant_id, after=after, limit=asked.limit + 1)
    return page_of(rows, asked.limit, _shown, lambda row: cursor(row.report_schedule_id))


@operation(
    "POST",
    "/report-schedules",
    tag="report schedules",
    role=Role.OPERATOR,
    tenants=True,
    action="report_schedule.create",
    status=201,
    errors=(404, 409),
    summary="Have a report made again and again, once an hour at most.",
)
async def create_report_schedule(
    call: Call[Parameters, NewReportSchedule],
) -> ReportScheduleShown:
    tenant_id = call.tenant_id or call.body.tenant_id
    if tenant_id is None:
        raise invalid({"tenant_id": "say whose report it is"}, where="body")
    if call.body.tenant_id not in (None, tenant_id):
        raise not_found("tenant")
    try:
        async with audited(call, targets=[tenant_id]) as connection:
            with refusing("line"):
                made = await reports.create(connection, tenant_id, call.body.wanted())
            if made is None:
                raise not_found("tenant")
    except reports.TooManyError as error:
        raise ApiError(409, "too_many", str(error)) from None
    return _shown(made)


@operation(
    "GET",
    "/report-schedules/{report_schedule_id}",
    tag="report schedules",
    role=Role.VIEWER,
    tenants=True,
    errors=(404,),
    summary="One report schedule.",
)
async def get_report_schedule(call: Call[OneReportSchedule, None]) -> ReportScheduleShown:
    found = await reports.find(call.services.db, call.parameters.report_schedule_id, call.tenant_id)
    return _shown(_there(found))


@operation(
    "PATCH",
    "/report-schedules/{report_schedule_id}",
    tag="report schedules",
    role=Role.OPERATOR,
    tenants=True,
    action="report_schedule.change",
    errors=(404,),
    summary="Change a report schedule.",
)
async def change_report_schedule(
    call: Call[OneReportSchedule, ReportScheduleChange],
) -> ReportScheduleShown:
    asked, wanted_id = call.body, call.parameters.report_schedule_id
    async with audited(call) as connection:
        await reports.lock(connection, wanted_id)  # of two at once the second adds to the first
        known = _there(await reports.find(connection, wanted_id, call.tenant_id))
        said = {name: value for name, value in asked if value is not None}
        wanted = Wanted(**{**_fields(known, Wanted), **said})
        with refusing("line"):
            changed = await reports.change(connection, wanted_id, call.tenant_id, wanted)
    return _shown(_there(changed))


@operation(
    "DELETE",
    "/report-schedules/{report_schedule_id}",
    tag="report schedules",
    role=Role.OPERATOR,
    tenants=True,
    action="report_schedule.delete",
    errors=(404,),
    summary="Have a report made no more; a run of it that waits finds out.",
)
async def delete_report_schedule(call: Call[OneReportSchedule, None]) -> Deleted:
    wanted_id = call.parameters.report_schedule_id
    async with audited(call) as connection:
        if not await reports.delete(connection, wanted_id, call.tenant_id):
            raise not_found("report schedule")
    return Deleted(report_schedule_id=wanted_id)


def _there(found: ReportSchedule | None) -> ReportSchedule:
    if found is None:
        raise not_found("report schedule")
    return found


def _shown(one: ReportSchedule) -> ReportScheduleShown:
    return ReportScheduleShown(**_fields(one, ReportSchedule))


def _fields(one: ReportSchedule, kind: type[Wanted]) -> dict[str, Any]:
    return {name: getattr(one, name) for name in kind.__dataclass_fields__}
