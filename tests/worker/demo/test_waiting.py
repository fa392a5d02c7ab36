import asyncio
from typing import TYPE_CHECKING

import pytest

from worker.demo import queries, waiting
from worker.demo.tenants import ANADOLU

if TYPE_CHECKING:
    import asyncpg

_SENT = """
    insert into deliveries (tenant_id, key, recipient, channel, template, status, provider,
                            message_id, run_id, claimed_at)
    values ($1, $2, 'deniz.kaya@example.org', 'email', 'welcome', $3, 'file', $2, 'run', now())
"""


async def test_it_waits_for_as_many_as_it_is_told(
    db: "asyncpg.Pool[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_WITHIN", 0.3)
    await queries.load_tenant(db, ANADOLU)
    await db.execute(_SENT, ANADOLU.tenant_id, "welcome:one", "sent")
    await db.execute(_SENT, ANADOLU.tenant_id, "welcome:two", "sending")

    await waiting.until_sent(db, ANADOLU, "welcome", about="one")
    for about, messages in (("", 2), ("two", 1)):
        with pytest.raises(TimeoutError):
            await waiting.until_sent(db, ANADOLU, "welcome", about=about, messages=messages)

    more = asyncio.create_task(waiting.until_sent(db, ANADOLU, "welcome", messages=2))
    await db.execute("update deliveries set status = 'sent'")
    await more
