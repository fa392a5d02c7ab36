from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from jobs.kit import PayloadError
from jobs.sam_gov.import_opportunities import (
    ImportOpportunities,
    ImportReceipt,
    import_opportunities,
)
from tests.conftest import Tenant
from tests.jobs.sam_gov.samples import NO_REAL, notice, real_replies, reply
from worker.demo.notices import BROKEN, COUNT, replies
from worker.ending import Reason
from worker.testing import Ended, Rig


def key_of(tenant_id: UUID) -> str:
    return f"imports/{tenant_id}/reply.json"


async def run(rig: Rig, tenant_id: UUID, body: bytes) -> Ended:
    await rig.storage.put(key_of(tenant_id), body)
    payload = ImportOpportunities(tenant_id=tenant_id, key=key_of(tenant_id))
    return await rig.run(import_opportunities, payload)


async def imported(rig: Rig, tenant_id: UUID, body: bytes) -> ImportReceipt:
    receipt: ImportReceipt = (await run(rig, tenant_id, body)).succeeded()
    return receipt


async def rows(rig: Rig) -> int:
    return int(await rig.resources.db.fetchval("select count(*) from opportunities"))


async def test_a_reply_is_imported_once(rig: Rig, tenant: Tenant) -> None:
    body = reply(notice(noticeId="a"), notice(noticeId="b"))

    first = await imported(rig, tenant.tenant_id, body)
    second = await imported(rig, tenant.tenant_id, body)

    assert (first.total, first.created, first.updated, first.unchanged) == (2, 2, 0, 0)
    assert (second.total, second.created, second.updated, second.unchanged) == (2, 0, 0, 2)
    told = {"integration": "sam_gov", "operation": "import", "status": "success"}
    none = {"updated": 0, "failed": 0}
    assert rig.counted.syncs == [
        {**told, "added": 2, "unchanged": 0, **none},
        {**told, "added": 0, "unchanged": 2, **none},
    ]


async def test_what_changed_is_updated(rig: Rig, tenant: Tenant) -> None:
    await imported(rig, tenant.tenant_id, reply(notice(noticeId="a"), notice(noticeId="b")))

    changed = reply(notice(noticeId="a", active="No"), notice(noticeId="b"), notice(noticeId="c"))
    receipt = await imported(rig, tenant.tenant_id, changed)

    assert (receipt.created, receipt.updated, receipt.unchanged) == (1, 1, 1)


async def test_the_last_of_one_notice_stands(rig: Rig, tenant: Tenant) -> None:
    receipt = await imported(rig, tenant.tenant_id, reply(notice(title="old"), notice(title="new")))

    assert (receipt.total, receipt.created, receipt.repeated) == (2, 1, 1)
    assert await rig.resources.db.fetchval("select title from opportunities") == "new"


async def test_broken_notices_are_told_and_the_others_go_on(rig: Rig, tenant: Tenant) -> None:
    broken = [notice(noticeId=f"x{number}", title=None) for number in range(30)]

    receipt = await imported(rig, tenant.tenant_id, reply(*broken, notice(noticeId="a")))

    assert (receipt.total, receipt.created, receipt.failed) == (31, 1, 30)
    assert len(receipt.problems) == 20
    assert receipt.problems[0] == "notice 1 (x0): title is missing"
    assert (rig.counted.syncs[0]["status"], rig.counted.syncs[0]["failed"]) == ("partial", 30)


async def test_an_import_that_kept_nothing_is_an_error(rig: Rig, tenant: Tenant) -> None:
    receipt = await imported(rig, tenant.tenant_id, reply(notice(noticeId=None)))

    assert (receipt.created, receipt.failed) == (0, 1)
    assert rig.counted.syncs[0]["status"] == "error"


async def test_an_empty_search_is_a_success(rig: Rig, tenant: Tenant) -> None:
    receipt = await imported(rig, tenant.tenant_id, reply())

    assert receipt.total == 0
    assert rig.counted.syncs[0]["status"] == "success"


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
    rig: Rig, tenant: Tenant, body: bytes, sentence: str
) -> None:
    ended = await run(rig, tenant.tenant_id, body)

    assert sentence in ended.dead().message
    assert ended.reason == Reason.REJECTED
    (told,) = rig.counted.syncs
    assert told == {"integration": "sam_gov", "operation": "import", "status": "error"}
    assert await rows(rig) == 0


async def test_an_unknown_tenant_is_refused(rig: Rig) -> None:
    ended = await run(rig, uuid4(), reply(notice()))

    assert "there is no tenant" in ended.dead().message
    assert rig.counted.syncs[0]["status"] == "error"


async def test_a_key_without_a_file_is_refused(rig: Rig, tenant: Tenant) -> None:
    payload = ImportOpportunities(tenant_id=tenant.tenant_id, key=key_of(tenant.tenant_id))

    ended = await rig.run(import_opportunities, payload)

    assert "cannot be read from storage" in ended.dead().message


@pytest.mark.parametrize("key", ["imports/{other}/reply.json", "imports/{own}/../x", "/etc/passwd"])
def test_a_key_outside_the_tenants_imports_is_no_payload(key: str) -> None:
    own, other = uuid4(), uuid4()

    with pytest.raises(PayloadError, match="key: "):
        import_opportunities.validate({"tenant_id": own, "key": key.format(own=own, other=other)})


async def test_a_file_that_is_too_large_is_refused(rig: Rig, tenant: Tenant) -> None:
    async def spaces() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 1024 * 1024
        yield reply(notice())

    await rig.storage.put(key_of(tenant.tenant_id), spaces())

    payload = ImportOpportunities(tenant_id=tenant.tenant_id, key=key_of(tenant.tenant_id))
    ended = await rig.run(import_opportunities, payload)

    assert "cannot be read from storage" in ended.dead().message


async def test_an_attempt_that_breaks_off_leaves_the_next_one_exact_counts(
    rig: Rig, tenant: Tenant
) -> None:
    body = reply(*(notice(noticeId=f"{number:04}", title=f"{number}") for number in range(1100)))
    rule = "alter table opportunities add constraint stop check (title <> '1099')"
    await rig.resources.db.execute(rule)  # the last row of the last batch cannot be written

    broken_off = await run(rig, tenant.tenant_id, body)
    broken_off.retrying()
    assert isinstance(broken_off.error, asyncpg.CheckViolationError)
    assert await rows(rig) == 0

    await rig.resources.db.execute("alter table opportunities drop constraint stop")
    receipt = await imported(rig, tenant.tenant_id, body)
    assert (receipt.created, receipt.unchanged) == (1100, 0)
    assert [seen["status"] for seen in rig.counted.syncs] == ["error", "success"]


async def test_the_demo_is_imported(rig: Rig, tenant: Tenant) -> None:
    pages = [orjson.dumps(page) for page in replies(date(2026, 11, 20))]

    first = [await imported(rig, tenant.tenant_id, page) for page in pages]
    again = [await imported(rig, tenant.tenant_id, page) for page in pages]

    assert sum(receipt.created for receipt in first) == COUNT - BROKEN == await rows(rig)
    assert sum(receipt.unchanged for receipt in again) == COUNT - BROKEN
    assert sum(receipt.failed for receipt in first) == BROKEN


@pytest.mark.skipif(not real_replies(), reason=NO_REAL)
@pytest.mark.parametrize(
    "body", [pytest.param(path.read_bytes(), id=path.name) for path in real_replies()]
)
async def test_real_replies_are_imported(rig: Rig, tenant: Tenant, body: bytes) -> None:
    first = await imported(rig, tenant.tenant_id, body)
    again = await imported(rig, tenant.tenant_id, body)

    assert (first.created, first.failed) == (first.total, 0)
    assert (again.created, again.updated, again.unchanged) == (0, 0, first.total)
