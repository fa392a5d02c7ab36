"""Import a reply of SAM.gov's opportunities search that lies in storage."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from clients.errors import RequestRejectedError
from clients.object_storage import StorageError
from jobs.kit import JobContext, TenantPayload, job, tenant_file
from jobs.sam_gov import core, queries

_LARGEST = 64 * 1024 * 1024  # bytes; a page of 1000 notices, the most there are, has some 4 MB
_BATCH = 500
_PROBLEMS_SHOWN = 20


class ImportOpportunities(TenantPayload):
    """`key`: where the JSON reply of GET /opportunities/v2/search lies in storage."""

    key: Annotated[str, tenant_file("imports")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReceipt:
    """total = created + updated + unchanged + repeated + failed; the first 20 `problems`."""

    total: int
    created: int
    updated: int
    unchanged: int
    repeated: int
    failed: int
    problems: tuple[str, ...]


@job("sam_gov.import_opportunities", queue="sync", exposed=True)
async def import_opportunities(ctx: JobContext, payload: ImportOpportunities) -> ImportReceipt:
    try:
        reply = await _get_reply(ctx, payload.key)
        upserted = await _upsert(ctx, payload.tenant_id, reply.opportunities)
    except Exception:
        ctx.meter.sync(integration="sam_gov", operation="import", status="error")
        raise
    receipt = ImportReceipt(
        total=reply.total,
        created=upserted.created,
        updated=upserted.updated,
        unchanged=upserted.unchanged,
        repeated=reply.repeated,
        failed=len(reply.problems),
        problems=reply.problems[:_PROBLEMS_SHOWN],
    )
    _count(ctx, receipt)
    return receipt


async def _get_reply(ctx: JobContext, key: str) -> core.Reply:
    try:
        body = await ctx.storage.read(key, limit=_LARGEST)
    except StorageError as error:
        raise RequestRejectedError(f"the reply cannot be read from storage: {error}") from error
    try:
        return await ctx.offload(core.read_reply, body)
    except core.NotAReplyError as error:
        raise RequestRejectedError(str(error)) from error


async def _upsert(
    ctx: JobContext, tenant_id: UUID, opportunities: tuple[core.Opportunity, ...]
) -> queries.Upserted:
    """All or nothing: an attempt that breaks off leaves the next one exact counts."""
    upserted = queries.Upserted()
    async with ctx.transaction() as db:
        if not await queries.is_tenant_known(db, tenant_id):
            raise RequestRejectedError(f"there is no tenant {tenant_id}: create it first")
        for start in range(0, len(opportunities), _BATCH):
            batch = opportunities[start : start + _BATCH]
            upserted += await queries.upsert_opportunities(db, tenant_id, batch, at=ctx.now())
    return upserted


def _count(ctx: JobContext, receipt: ImportReceipt) -> None:
    is_lost = receipt.failed == receipt.total > 0
    status = "error" if is_lost else "partial" if receipt.failed else "success"
    ctx.meter.sync(
        integration="sam_gov",
        operation="import",
        status=status,
        added=receipt.created,
        updated=receipt.updated,
        unchanged=receipt.unchanged,
        failed=receipt.failed,
    )
    ctx.log.info(
        "Opportunities imported",
        created=receipt.created,
        updated=receipt.updated,
        unchanged=receipt.unchanged,
        failed=receipt.failed,
    )
