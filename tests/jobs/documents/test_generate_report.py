import asyncio
import csv
import hashlib
import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias, get_args
from uuid import uuid4

import asyncpg
import openpyxl
import pytest

from clients.errors import RequestRejectedError
from jobs.documents.core import pdf
from jobs.documents.generate_report import (
    Format,
    ReportReceipt,
    ReportRequest,
    generate_report,
)
from jobs.kit import JobContext, PayloadError, discover
from tests.conftest import MakeContext, Tenant
from tests.jobs.documents.core.reports import make_notice, pdf_texts
from tests.jobs.documents.rows import add_notice, add_notices

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

NOW = datetime(2026, 3, 20, 11, 5, tzinfo=UTC)
FIELDS: dict[str, Any] = {
    "tenant_id": str(uuid4()),
    "report_type": "opportunities",
    "format": "csv",
    "period_from": "2026-01-01",
    "period_to": "2026-03-31",
}


def request(tenant: Tenant, **changes: Any) -> ReportRequest:
    return generate_report.validate({**FIELDS, "tenant_id": str(tenant.tenant_id), **changes})


@pytest.fixture
def ctx(make_ctx: MakeContext, tenant: Tenant) -> JobContext:
    return make_ctx(generate_report.name, tenant_id=tenant.tenant_id, key="k", now=NOW)


async def stored(ctx: JobContext, receipt: ReportReceipt) -> bytes:
    return await ctx.storage.read(receipt.key, limit=10**8)


def lines(file: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline="")))


async def test_the_report_is_what_the_receipt_says(ctx: JobContext, db: Db, tenant: Tenant) -> None:
    await add_notice(db, tenant.tenant_id, "a")

    receipt = await generate_report(ctx, request(tenant))

    file = await stored(ctx, receipt)
    assert receipt == ReportReceipt(
        key=receipt.key,
        size=len(file),
        sha256=hashlib.sha256(file).hexdigest(),
        row_count=1,
        content_type="text/csv; charset=utf-8",
    )
    name = r"/opportunities/2026-01-01_2026-03-31-en-[0-9a-f]{12}\.csv"
    assert re.fullmatch(f"reports/{tenant.tenant_id}{name}", receipt.key)


async def test_the_values_are_those_of_the_database(
    ctx: JobContext, db: Db, tenant: Tenant
) -> None:
    await add_notice(db, tenant.tenant_id, "a", award_amount=Decimal("9999999999999999.99"))

    file = await stored(ctx, await generate_report(ctx, request(tenant)))

    notice = make_notice()
    assert lines(file)[1] == [
        "a",
        notice.title,
        notice.solicitation_number,
        notice.notice_type,
        "DEPT OF DEFENSE / DEPT OF THE ARMY",
        "2026-02-03",
        "2026-04-02T00:30:00+03:00",
        notice.set_aside,
        "238160, 236220",
        "Lexington, KY, USA",
        "9999999999999999.99",
        "USD",
        notice.awardee_name,
        notice.link,
    ]


@pytest.mark.parametrize("language", ["en", "tr"])
@pytest.mark.parametrize("report_type", ["opportunities", "analytics"])
@pytest.mark.parametrize("file_format", get_args(Format))
async def test_every_kind_of_report_is_made(
    ctx: JobContext, db: Db, tenant: Tenant, file_format: Format, report_type: str, language: str
) -> None:
    await add_notices(db, tenant.tenant_id, 40)

    receipt = await generate_report(
        ctx, request(tenant, format=file_format, report_type=report_type, language=language)
    )

    file = await stored(ctx, receipt)
    assert receipt.row_count == (40 if report_type == "opportunities" else 6)
    title = {"en": "Notices", "tr": "İlanlar"}[language]
    match file_format:
        case "pdf":
            assert title in pdf_texts(file)[0]
        case "xlsx":
            summary, table = openpyxl.load_workbook(io.BytesIO(file)).worksheets
            assert title in [cell.value for cell in summary["A"]]
            assert table.max_row == receipt.row_count + 1
        case "csv":
            assert len(lines(file)) == receipt.row_count + 1


async def test_the_sums_are_those_of_the_rows(ctx: JobContext, db: Db, tenant: Tenant) -> None:
    await add_notices(db, tenant.tenant_id, 1500)

    rows = lines(await stored(ctx, await generate_report(ctx, request(tenant))))
    sums = lines(
        await stored(ctx, await generate_report(ctx, request(tenant, report_type="analytics")))
    )

    total = sum(Decimal(row[10]) for row in rows[1:])
    assert total == Decimal(sum(range(1501))) / 100
    assert ["By month", "January 2026", "1500", "1.0000", "1500", str(total), "USD"] in sums


async def test_a_second_run_of_the_same_request_replaces_the_first(
    ctx: JobContext, make_ctx: MakeContext, db: Db, tenant: Tenant
) -> None:
    first = await generate_report(ctx, request(tenant))
    await add_notice(db, tenant.tenant_id, "a")
    again = await generate_report(ctx, request(tenant))
    other_run = make_ctx(generate_report.name, tenant_id=tenant.tenant_id, key="other", now=NOW)
    other = await generate_report(other_run, request(tenant))

    assert (again.key, again.row_count) == (first.key, 1)
    assert other.key != first.key
    assert other.sha256 == again.sha256


@pytest.mark.parametrize("file_format", get_args(Format))
async def test_the_same_data_at_the_same_instant_is_the_same_file(
    ctx: JobContext, db: Db, tenant: Tenant, file_format: Format
) -> None:
    await add_notices(db, tenant.tenant_id, 30)

    first = await generate_report(ctx, request(tenant, format=file_format))
    second = await generate_report(ctx, request(tenant, format=file_format))

    assert first == second


async def test_csv_has_a_byte_order_mark_on_request(ctx: JobContext, tenant: Tenant) -> None:
    file = await stored(ctx, await generate_report(ctx, request(tenant, with_bom=True)))

    assert file.startswith(b"\xef\xbb\xbfNotice ID,")


async def test_a_tenant_that_is_not_there_is_refused(ctx: JobContext) -> None:
    payload = generate_report.validate(FIELDS)

    with pytest.raises(RequestRejectedError, match=f"no tenant {FIELDS['tenant_id']}"):
        await generate_report(ctx, payload)


async def test_a_pdf_of_too_many_notices_is_refused_with_a_way_out(
    ctx: JobContext, db: Db, tenant: Tenant
) -> None:
    await add_notices(db, tenant.tenant_id, pdf.MAX_ROWS + 1)

    with pytest.raises(RequestRejectedError, match=r"the period has 5001: ask for xlsx or csv"):
        await generate_report(ctx, request(tenant, format="pdf"))
    sums = await generate_report(ctx, request(tenant, format="pdf", report_type="analytics"))
    assert sums.row_count == 6


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "Europe"])
async def test_a_time_zone_that_is_none_becomes_utc(
    ctx: JobContext, db: Db, tenant: Tenant, zone: str
) -> None:
    await db.execute("update tenants set timezone = $1", zone)

    file = await stored(ctx, await generate_report(ctx, request(tenant)))

    assert lines(file)[0][6] == "Response deadline (UTC)"


async def test_nothing_is_left_when_rendering_fails(
    ctx: JobContext, db: Db, tenant: Tenant
) -> None:
    await db.execute("drop table opportunities")

    with pytest.raises(asyncpg.UndefinedTableError):
        await generate_report(ctx, request(tenant))
    assert [item async for item in ctx.storage.list("reports/")] == []


async def test_the_loop_stays_free_while_a_report_is_made(
    ctx: JobContext, db: Db, tenant: Tenant
) -> None:
    await add_notices(db, tenant.tenant_id, 20_000)
    loop, longest = asyncio.get_running_loop(), 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            longest = max(longest, loop.time() - before)

    watching = asyncio.create_task(watch())
    receipt = await generate_report(ctx, request(tenant, format="xlsx"))
    watching.cancel()

    assert receipt.row_count == 20_000
    assert longest < 1  # rendering alone takes longer than that


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"period_from": "2026-04-01"}, "period_from is after period_to"),
        ({"period_from": "2016-01-01"}, "longer than ten years"),
        ({"format": "xlsx", "with_bom": True}, "with_bom is for the format csv"),
        ({"format": "docx"}, "format"),
        ({"language": "de"}, "language"),
        ({"report_type": "everything"}, "report_type"),
        ({"period_from": "yesterday"}, "period_from"),
        ({"tenant_id": "me"}, "tenant_id"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_so(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(PayloadError, match=problem):
        generate_report.validate({**FIELDS, **changes})


@pytest.mark.parametrize(
    ("first", "last"), [("2026-01-01", "2026-01-01"), ("2016-04-01", "2026-03-31")]
)
def test_a_period_is_a_day_or_ten_years(first: str, last: str) -> None:
    payload = generate_report.validate({**FIELDS, "period_from": first, "period_to": last})

    assert payload.period_to == date.fromisoformat(last)


def test_requests_for_the_same_file_are_one() -> None:
    one = generate_report.validate(FIELDS)
    explicit = generate_report.validate({**FIELDS, "language": "en", "with_bom": False})
    turkish = generate_report.validate({**FIELDS, "language": "tr"})

    assert generate_report.key_of(one) == generate_report.key_of(explicit)
    assert generate_report.key_of(one) != generate_report.key_of(turkish)


def test_the_older_name_is_known() -> None:
    assert discover()["generate-report"] is discover()["documents.generate_report"]
