"""Rows to remind of."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    import asyncpg


async def insert_notice(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, notice_id: str, **fields: Any
) -> None:
    """An open notice of the tenant; `fields` are its columns."""
    row: dict[str, Any] = {
        "tenant_id": tenant_id,
        "notice_id": notice_id,
        "title": f"Notice {notice_id}",
        "notice_type": "Solicitation",
        "is_active": True,
        "content_sha256": "",
        **fields,
    }
    columns = ", ".join(row)
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await db.execute(
        f"insert into opportunities (posted_on, {columns}) values ('2026-11-01', {places})",  # noqa: S608 - names from this file
        *row.values(),
    )
