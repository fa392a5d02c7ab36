"""Make a tenant's report as a PDF, an Excel workbook or a CSV file, and put it in storage."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Literal, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import model_validator

from clients.errors import RequestRejectedError
from jobs.documents import queries
from jobs.documents.core import analytics, csv_file, opportunities, pdf, spool, xlsx
from jobs.documents.core.model import Aggregate, Period, Report, Row
from jobs.kit import JobContext, TenantPayload, job

Format: TypeAlias = Literal["pdf", "xlsx", "csv"]
Pages: TypeAlias = AsyncIterator[Iterable[Row]]

CONTENT_TYPES: Mapping[Format, str] = MappingProxyType(
    {
        "pdf": "application/pdf",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "csv": "text/csv; charset=utf-8",
    }
)
_REPORTS = MappingProxyType({"opportunities": opportunities.report, "analytics": analytics.report})
_LONGEST = timedelta(days=3653)  # ten years and their leap days
_CHUNK = 256 * 1024


class ReportRequest(TenantPayload):
    """Which report. Both days belong to the period; `with_bom` is for CSV that Excel opens."""

    report_type: Literal["opportunities", "analytics"]
    format: Format
    period_from: date
    period_to: date
    language: Literal["en", "tr"] = "en"
    with_bom: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.period_from > self.period_to:
            raise ValueError("period_from is after period_to")
        if self.period_to - self.period_from >= _LONGEST:
            raise ValueError("the period is longer than ten years: ask for a part of it")
        if self.with_bom and self.format != "csv":
            raise ValueError("with_bom is for the format csv alone")
        return self


@dataclass(frozen=True, slots=True)
class ReportReceipt:
    """Where the report is. `size` in bytes; `row_count` without the table's head."""

    key: str
    size: int
    sha256: str
    row_count: int
    content_type: str


@job(
    "documents.generate_report",
    queue="document",
    # A million rows as a workbook take some minutes; everything else is done in seconds.
    timeout=900,
    # Two clicks are one report while its result is kept (an hour); asked for later, it is made
    # again from the numbers of then, under the same storage key.
    idempotency_key="{report_type}:{format}:{period_from}:{period_to}:{language}:{with_bom}",
    result_ttl=3600,
    aliases=("generate-report",),
    exposed=True,
)
async def generate_report(ctx: JobContext, payload: ReportRequest) -> ReportReceipt:
    return await make_report(ctx, payload)


async def make_report(ctx: JobContext, payload: ReportRequest) -> ReportReceipt:
    """Within whatever run: each attempt of it makes the same file. Raises RequestRejectedError."""
    with ctx.scratch() as scratch:
        rows, target = scratch / "rows.jsonl", scratch / f"report.{payload.format}"
        report = await _gather(ctx, payload, rows)
        row_count = await ctx.offload(
            render_file, rows, target, report, payload.format, with_bom=payload.with_bom
        )
        stored = await ctx.storage.put(_key(ctx, payload), _chunks(target))
    ctx.log.info("Report stored", key=stored.key, size=stored.size, rows=row_count)
    return ReportReceipt(
        stored.key, stored.size, stored.sha256, row_count, CONTENT_TYPES[payload.format]
    )


def render_file(
    source: Path, target: Path, report: Report, file_format: Format, *, with_bom: bool = False
) -> int:
    """Write a report whose rows were spooled to `source`; returns how many there were.

    Takes a core for a while: run it in a process of its own.
    """
    with source.open("rb") as lines, target.open("wb") as file:
        rows = spool.load(lines, report.columns, ZoneInfo(report.zone))
        match file_format:
            case "pdf":
                return pdf.write(file, report, rows)
            case "xlsx":
                return xlsx.write(file, report, rows, tmpdir=str(target.parent))
            case "csv":
                return csv_file.write(file, report, rows, with_bom=with_bom)


async def _gather(ctx: JobContext, payload: ReportRequest, target: Path) -> Report:
    """Read everything in one snapshot: the sums into the report, the rows into the file."""
    period = Period(payload.period_from, payload.period_to)
    async with queries.snapshot(ctx.db) as connection:
        tenant = await queries.find_tenant(connection, payload.tenant_id)
        if tenant is None:
            raise RequestRejectedError(f"there is no tenant {payload.tenant_id}")
        zone = _zone(ctx, tenant.timezone)
        as_of = ctx.now().astimezone(zone)
        tally = await queries.tally(connection, payload.tenant_id, period, as_of=as_of, zone=zone)
        _check_size(payload, tally.notices)
        aggregates = await queries.aggregates(connection, payload.tenant_id, period)
        pages = (
            _notices(connection, payload, period)
            if payload.report_type == "opportunities"
            else _sums(payload, period, aggregates, tally.notices)
        )
        await _spool(pages, target)
    return _REPORTS[payload.report_type](
        tenant,
        period,
        as_of=as_of,
        zone=zone.key,
        language=payload.language,
        tally=tally,
        aggregates=aggregates,
    )


def _zone(ctx: JobContext, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed, or a folder of zones
        # The report names its zone wherever it shows an hour, so nobody is misled.
        ctx.log.warning("the tenant's time zone is not known; the report is in UTC")
        return ZoneInfo("UTC")


def _check_size(payload: ReportRequest, rows: int) -> None:
    is_listed = payload.report_type == "opportunities"
    if payload.format == "pdf" and is_listed and rows > pdf.MAX_ROWS:
        raise RequestRejectedError(
            f"a PDF lists {pdf.MAX_ROWS} notices at most, and the period has {rows}: "
            "ask for xlsx or csv, or for a shorter period"
        )


async def _notices(connection: queries.Connection, payload: ReportRequest, period: Period) -> Pages:
    async with aclosing(queries.notices(connection, payload.tenant_id, period)) as pages:
        async for page in pages:
            yield map(opportunities.row, page)


async def _sums(
    payload: ReportRequest, period: Period, aggregates: list[Aggregate], notices: int
) -> Pages:
    yield analytics.rows(aggregates, period, payload.language, notices=notices)


async def _spool(pages: Pages, target: Path) -> None:
    with await asyncio.to_thread(target.open, "wb") as file:
        async for rows in pages:
            await asyncio.to_thread(_append, file, rows)


def _append(file: BinaryIO, rows: Iterable[Row]) -> None:
    file.write(spool.dump(rows))


def _key(ctx: JobContext, payload: ReportRequest) -> str:
    """The same for each attempt of a run, so that a later one replaces what an earlier one left."""
    run = hashlib.sha256(ctx.run.key.encode()).hexdigest()[:12]
    name = f"{payload.period_from}_{payload.period_to}-{payload.language}-{run}.{payload.format}"
    return f"reports/{payload.tenant_id}/{payload.report_type}/{name}"


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
