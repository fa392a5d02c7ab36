"""Every statement of the domain `email`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.email.core import Opportunity, Recipient

if TYPE_CHECKING:
    import asyncpg


async def find_recipient(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, user_id: UUID
) -> Recipient | None:
    row = await db.fetchrow(
        """
        select user_id, email, full_name, users.locale, users.timezone,
               tenants.name as tenant_name, unsubscribe_token
        from users
        join tenants using (tenant_id)
        where tenant_id = $1 and user_id = $2
        """,
        tenant_id,
        user_id,
    )
    return None if row is None else Recipient(**row)


async def opportunities(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, notice_ids: Sequence[str]
) -> list[Opportunity]:
    """The tenant's notices among these; the others are left out."""
    rows = await db.fetch(
        """
        select notice_id, title, notice_type, is_active, solicitation_number, department, office,
               set_aside, response_due_at, response_due_on, ui_url
        from opportunities
        where tenant_id = $1 and notice_id = any($2::text[])
        """,
        tenant_id,
        notice_ids,
    )
    return [Opportunity(**row) for row in rows]
