"""A model's words from its API to the mailbox, through a real worker and its settings."""

from collections.abc import AsyncIterator
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clients.llm import Provider
from jobs.nurture.start_sequence import StartedContacts, start_sequence
from tests.clients.stand_ins.llm import (
    ANTHROPIC_KEY,
    OPENAI_KEY,
    Answer,
    LlmServer,
    llm_server,
)
from tests.conftest import Tenant
from tests.jobs.nurture.world import add_contact, add_sequence, steps_after
from tests.worker.conftest import StartWorker, until
from worker.enqueuer import Pool

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

WORDS = (
    "{name} ile ilgilendiğiniz için teşekkür ederiz. Bize nasıl ulaşacağınızı ve randevunuzu nasıl"
    " alacağınızı sizin için kısaca anlattık."
)


@pytest.fixture
async def server() -> AsyncIterator[LlmServer]:
    async with llm_server() as server:
        yield server


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_a_step_is_sent_in_a_models_words(
    db: "Db",
    pool: Pool,
    tenant: Tenant,
    server: LlmServer,
    start_worker: StartWorker,
    tmp_path: Path,
    provider: Provider,
) -> None:
    server.answers = [Answer(WORDS.format(name=tenant.name))]
    keys = {"anthropic": ANTHROPIC_KEY, "openai": OPENAI_KEY}
    urls = {"anthropic": server.url, "openai": server.openai_url}
    contact = await add_contact(db, tenant.tenant_id)
    (step,) = steps_after(0)
    sequence = await add_sequence(db, tenant.tenant_id, [replace(step, personalise=True)])
    await start_worker(**{f"{provider}_api_key": keys[provider], "llm_url": urls[provider]})

    await pool.enqueue(
        start_sequence,
        StartedContacts(
            tenant_id=tenant.tenant_id, contact_ids=[contact], sequence=str(sequence), reason=None
        ),
    )

    async def version() -> str | None:
        found: str | None = await db.fetchval(
            "select template_version from deliveries where status = 'sent'"
        )
        return found

    assert (await until(version)).endswith("+reworded")
    (file,) = (tmp_path / "mail").rglob("*.eml")
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    for kind in ("plain", "html"):
        part = mail.get_body((kind,))
        assert part is not None
        assert WORDS.format(name=tenant.name) in " ".join(str(part.get_content()).split())
    (asked,) = server.asked
    assert asked["at"] == provider
    assert "deniz@example.org" not in str(asked)
