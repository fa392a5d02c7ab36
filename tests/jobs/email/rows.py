"""Users and proposals to tell of."""

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def add_user(db: "Db", tenant_id: UUID, **fields: Any) -> UUID:
    """`fields` are other columns of `users`."""
    user_id = uuid4()
    row = {
        "user_id": user_id,
        "tenant_id": tenant_id,
        "email": f"{user_id.hex}@anadolu.example",
        "full_name": "Ada Çelik",
        **fields,
    }
    await _insert(db, "users", row)
    return user_id


async def add_proposal(
    db: "Db", tenant_id: UUID, *, team: tuple[UUID, ...] = (), **fields: Any
) -> UUID:
    """`fields` are other columns of `proposals`."""
    proposal_id = uuid4()
    row = {"tenant_id": tenant_id, "proposal_id": proposal_id, "title": "Çatı onarımı", **fields}
    await _insert(db, "proposals", row)
    for user_id in team:
        member = {"tenant_id": tenant_id, "proposal_id": proposal_id, "user_id": user_id}
        await _insert(db, "proposal_members", member)
    return proposal_id


async def add_change(
    db: "Db", tenant_id: UUID, proposal_id: UUID, to_status: str, **fields: Any
) -> UUID:
    """The proposal has this status then. `fields` are other columns of `proposal_changes`."""
    change_id = uuid4()
    row = {
        "tenant_id": tenant_id,
        "change_id": change_id,
        "proposal_id": proposal_id,
        "from_status": "draft",
        "to_status": to_status,
        **fields,
    }
    await _insert(db, "proposal_changes", row)
    await db.execute(
        "update proposals set status = $3 where tenant_id = $1 and proposal_id = $2",
        tenant_id,
        proposal_id,
        to_status,
    )
    return change_id


async def _insert(db: "Db", table: str, row: dict[str, Any]) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await db.execute(
        f"insert into {table} ({', '.join(row)}) values ({places})",  # noqa: S608 - names from this file
        *row.values(),
    )
