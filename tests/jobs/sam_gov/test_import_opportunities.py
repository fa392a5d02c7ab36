from collections.abc import AsyncIterator
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from clients.errors import RequestRejectedError
from jobs.kit import JobContext, PayloadError
from jobs.sam_gov.import_opportunities import (
    ImportOpportunities,
    ImportReceipt,
    import_opportunities,
)
from tests.conftest import MakeContext, Tenant
from tests.jobs.sam_gov.samples import NO_REAL, notice, real_replies, reply
from worker.demo.notices import BROKEN, COUNT, replies


def key_of(tenant_id: UUID) -> str:
    return f"imports/{tenant_id}/reply.json"


class Counts:
    """A meter that remembers."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def email(self, *, provider: str, template: str, status: str) -> None:
        raise AssertionError((provider, template, status))

    def sync(self, *, integration: str, operation: str, status: str, **records: int) -> None:
        self.seen.append({"of": f"{integration}.{operation}", "status": status, **records})


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def ctx(make_ctx: MakeContext, counts: Counts) -> JobContext:
    return make_ctx("sam_gov.import_opportunities", tools={"meter": counts})


async def imported(ctx: JobContext, tenant_id: UUID, body: bytes) -> ImportReceipt:
    await ctx.storage.put(key_of(tenant_id), body)
    return await import_opportunities(
        ctx, ImportOpportunities(tenant_id=tenant_id, key=key_of(tenant_id))
    )


async def rows(ctx: JobContext) -> int:
    return int(await ctx.db.fetchval("select count(*) from opportunities"))


async def test_a_reply_is_imported_once(ctx: JobContext, counts: Counts, tenant: Tenant) -> None:
    body = reply(notice(noticeId="a"), notice(noticeId="b"))

    first = await imported(ctx, tenant.tenant_id, body)
    second = await imported(ctx, tenant.tenant_id, body)

    assert (first.total, first.created, first.updated, first.unchanged) == (2, 2, 0, 0)
    assert (second.total, second.created, second.updated, second.unchanged) == (2, 0, 0, 2)
    none = {"updated": 0, "failed": 0}
    assert counts.seen == [
        {"of": "sam_gov.import", "status": "success", "added": 2, "unchanged": 0, **none},
        {"of": "sam_gov.import", "status": "success", "added": 0, "unchanged": 2, **none},
    ]


async def test_what_changed_is_updated(ctx: JobContext, tenant: Tenant) -> None:
    await imported(ctx, tenant.tenant_id, reply(notice(noticeId="a"), notice(noticeId="b")))

    changed = reply(notice(noticeId="a", active="No"), notice(noticeId="b"), notice(noticeId="c"))
    receipt = await imported(ctx, tenant.tenant_id, changed)

    assert (receipt.created, receipt.updated, receipt.unchanged) == (1, 1, 1)


async def test_the_last_of_one_notice_stands(ctx: JobContext, tenant: Tenant) -> None:
    receipt = await imported(ctx, tenant.tenant_id, reply(notice(title="old"), notice(title="new")))

    assert (receipt.total, receipt.created, receipt.repeated) == (2, 1, 1)
    assert await ctx.db.fetchval("select title from opportunities") == "new"


async def test_broken_notices_are_told_and_the_others_go_on(
    ctx: JobContext, counts: Counts, tenant: Tenant
) -> None:
    broken = [notice(noticeId=f"x{number}", title=None) for number in range(30)]

    receipt = await imported(ctx, tenant.tenant_id, reply(*broken, notice(noticeId="a")))

    assert (receipt.total, receipt.created, receipt.failed) == (31, 1, 30)
    assert len(receipt.problems) == 20
    assert receipt.problems[0] == "notice 1 (x0): title is missing"
    assert (counts.seen[0]["status"], counts.seen[0]["failed"]) == ("partial", 30)


async def test_an_import_that_kept_nothing_is_an_error(
    ctx: JobContext, counts: Counts, tenant: Tenant
) -> None:
    receipt = await imported(ctx, tenant.tenant_id, reply(notice(noticeId=None)))

    assert (receipt.created, receipt.failed) == (0, 1)
    assert counts.seen[0]["status"] == "error"


async def test_an_empty_search_is_a_success(
    ctx: JobContext, counts: Counts, tenant: Tenant
) -> None:
    receipt = await imported(ctx, tenant.tenant_id, reply())

    assert receipt.total == 0
    assert counts.seen[0]["status"] == "success"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"code": "900804", "message": "Message throttled out"}', "Message throttled out"),
        (b'{"error": {"code": "API_KEY_MISSING", "message": "No api_key"}}', "API_KEY_MISSING"),
        (b"<html><body>502 Bad Gateway</body></html>", "is HTML"),
        (b"", "is empty"),
        (reply(notice())[:-9], "is not JSON"),
    ],
)
async def test_an_error_in_place_of_a_reply_is_refused(
    ctx: JobContext, counts: Counts, tenant: Tenant, body: bytes, sentence: str
) -> None:
    with pytest.raises(RequestRejectedError, match=sentence):
        await imported(ctx, tenant.tenant_id, body)

    assert counts.seen == [{"of": "sam_gov.import", "status": "error"}]
    assert await rows(ctx) == 0


async def test_an_unknown_tenant_is_refused(ctx: JobContext, counts: Counts) -> None:
    with pytest.raises(RequestRejectedError, match="there is no tenant"):
        await imported(ctx, uuid4(), reply(notice()))

    assert counts.seen[0]["status"] == "error"


async def test_a_key_without_a_file_is_refused(ctx: JobContext, tenant: Tenant) -> None:
    payload = ImportOpportunities(tenant_id=tenant.tenant_id, key=key_of(tenant.tenant_id))

    with pytest.raises(RequestRejectedError, match="cannot be read from storage"):
        await import_opportunities(ctx, payload)


@pytest.mark.parametrize("key", ["imports/{other}/reply.json", "imports/{own}/../x", "/etc/passwd"])
def test_a_key_outside_the_tenants_imports_is_no_payload(key: str) -> None:
    own, other = uuid4(), uuid4()

    with pytest.raises(PayloadError, match="key: "):
        import_opportunities.validate({"tenant_id": own, "key": key.format(own=own, other=other)})


async def test_a_file_that_is_too_large_is_refused(ctx: JobContext, tenant: Tenant) -> None:
    async def spaces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 1024 * 1024
        yield reply(notice())

    await ctx.storage.put(key_of(tenant.tenant_id), spaces())

    with pytest.raises(RequestRejectedError, match="cannot be read from storage"):
        await import_opportunities(
            ctx, ImportOpportunities(tenant_id=tenant.tenant_id, key=key_of(tenant.tenant_id))
        )


async def test_an_attempt_that_breaks_off_leaves_the_next_one_exact_counts(
    ctx: JobContext, counts: Counts, tenant: Tenant
) -> None:
    body = reply(*(notice(noticeId=f"{number:04}", title=f"{number}") for number in range(1100)))
    rule = "alter table opportunities add constraint stop check (title <> '1099')"
    await ctx.db.execute(rule)  # the last row of the last batch cannot be written

    with pytest.raises(asyncpg.CheckViolationError):
        await imported(ctx, tenant.tenant_id, body)
    assert await rows(ctx) == 0

    await ctx.db.execute("alter table opportunities drop constraint stop")
    receipt = await imported(ctx, tenant.tenant_id, body)
    assert (receipt.created, receipt.unchanged) == (1100, 0)
    assert [seen["status"] for seen in counts.seen] == ["error", "success"]


async def test_the_demo_is_imported(ctx: JobContext, tenant: Tenant) -> None:
    pages = [orjson.dumps(page) for page in replies(date(2026, 11, 20))]

    first = [await imported(ctx, tenant.tenant_id, page) for page in pages]
    again = [await imported(ctx, tenant.tenant_id, page) for page in pages]

    assert sum(receipt.created for receipt in first) == COUNT - BROKEN == await rows(ctx)
    assert sum(receipt.unchanged for receipt in again) == COUNT - BROKEN
    assert sum(receipt.failed for receipt in first) == BROKEN


@pytest.mark.skipif(not real_replies(), reason=NO_REAL)
@pytest.mark.parametrize(
    "body", [pytest.param(path.read_bytes(), id=path.name) for path in real_replies()]
)
async def test_real_replies_are_imported(ctx: JobContext, tenant: Tenant, body: bytes) -> None:
    first = await imported(ctx, tenant.tenant_id, body)
    again = await imported(ctx, tenant.tenant_id, body)

    assert (first.created, first.failed) == (first.total, 0)
    assert (again.created, again.updated, again.unchanged) == (0, 0, first.total)
