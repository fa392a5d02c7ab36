"""What a tour waits for that others send."""

import asyncio
from typing import TYPE_CHECKING

from worker.demo import queries
from worker.demo.tenants import DemoTenant

if TYPE_CHECKING:
    import asyncpg

_WITHIN = 120.0  # seconds


async def until_sent(
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant: DemoTenant,
    template: str,
    *,
    about: str = "",
    messages: int = 1,
) -> None:
    """Wait until so many messages of this kind have left. Raises TimeoutError."""
    async with asyncio.timeout(_WITHIN):
        while await queries.count_sent(db, tenant.tenant_id, template, about=about) < messages:  # noqa: ASYNC110 - a worker sends it
            await asyncio.sleep(0.1)
