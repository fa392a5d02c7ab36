"""Overdue invoices of one tenant, and a run for each reminder that is due."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.dunning import queries
from jobs.dunning.core.cases import Due, Picking
from jobs.dunning.core.stages import DEFAULTS, wait_for_morning
from jobs.dunning.send_payment_reminder import PaymentReminder, send_payment_reminder
from jobs.dunning.sending import tenant_zone
from jobs.kit import JobContext
from jobs.messaging.profile import profile_of

if TYPE_CHECKING:
    from jobs.kit.sending import Connection

_PAGE = 500


async def enqueue_due(
    ctx: JobContext, tenant_id: UUID, contact_ids: Sequence[UUID] | None = None
) -> int:
    """A run for each contact (of these, if given) with a reminder due; returns how many.

    The daily ones leave when the tenant's people are at work, those that somebody asks for at once.
    Done twice a day it does no harm. Raises RequestRejectedError for a tenant that is set up
    wrongly.
    """
    profile = await profile_of(ctx.db, tenant_id)
    zone = tenant_zone(profile)
    today = ctx.now().astimezone(zone).date()
    delay = wait_for_morning(ctx.now(), zone) if contact_ids is None else None
    stages = await queries.stages(ctx.db, tenant_id) or DEFAULTS
    first = min(stage.days_overdue for stage in stages)
    picking = Picking(stages, today=today, hosts=profile.payment_hosts)
    pages = queries.overdue(
        ctx.db,
        tenant_id,
        today=today,
        due_until=today - timedelta(days=first),
        contact_ids=contact_ids,
        page=_PAGE,
    )
    found = 0
    async for page in pages:
        found += await _enqueue(ctx, tenant_id, picking.picked(page), delay)
    return found + await _enqueue(ctx, tenant_id, picking.rest(), delay)


async def _enqueue(
    ctx: JobContext, tenant_id: UUID, dues: Sequence[Due], delay: timedelta | None
) -> int:
    if dues:
        async with ctx.transaction() as connection:
            for due in dues:
                await _enqueue_one(ctx, connection, tenant_id, due, delay)
    return len(dues)


async def _enqueue_one(
    ctx: JobContext, connection: "Connection", tenant_id: UUID, due: Due, delay: timedelta | None
) -> None:
    payload = PaymentReminder(
        tenant_id=tenant_id,
        contact_id=due.invoice.contact_id,
        invoice_id=due.invoice.invoice_id,
        step=due.stage.position,
    )
    await ctx.enqueue_in(connection, send_payment_reminder, payload, delay=delay)
