"""`words` is tried with whole messages in test_writing; here is what makes it choose."""

from typing import TYPE_CHECKING, Any

import pytest

from clients.errors import RequestRejectedError
from jobs.kit import OffloadError
from jobs.messaging import queries
from jobs.messaging.core.override import Override
from jobs.messaging.queries import Key
from jobs.messaging.wording import words
from tests.conftest import MakeContext, Tenant
from tests.jobs.messaging.mails import COMMON, MAIL
from worker.clock import utc_now

if TYPE_CHECKING:
    import asyncpg

VALUES = {**COMMON, "sign_in_url": None}


async def died(*_: Any, **__: Any) -> None:
    raise OffloadError("the process ended without an answer (killed, or out of memory)")


@pytest.fixture
async def _own_words(db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant) -> None:
    async with db.acquire() as connection, connection.transaction():
        await queries.store_override(
            connection,
            tenant.tenant_id,
            Key("welcome", "tr", "email"),
            Override(version=0, text="Selam"),
            by="ayse",
            at=utc_now(),
        )


@pytest.mark.usefixtures("_own_words")
async def test_a_process_that_dies_makes_no_mail_late(
    make_ctx: MakeContext, tenant: Tenant
) -> None:
    ctx = make_ctx("email.send_welcome", tools={"offload": died})

    made = await words(ctx, tenant.tenant_id, "welcome", MAIL, VALUES)

    assert made.version.startswith("built-in-")


@pytest.mark.usefixtures("_own_words")
async def test_a_process_that_dies_is_told_where_the_words_must_be_the_tenants(
    make_ctx: MakeContext, tenant: Tenant
) -> None:
    ctx = make_ctx("email.send_welcome", tools={"offload": died})

    with pytest.raises(RequestRejectedError, match="takes too long, or too much memory"):
        await words(ctx, tenant.tenant_id, "welcome", MAIL, VALUES, strict=True)


async def test_without_own_words_no_process_is_asked(make_ctx: MakeContext, tenant: Tenant) -> None:
    ctx = make_ctx("email.send_welcome", tools={"offload": died})

    made = await words(ctx, tenant.tenant_id, "welcome", MAIL, VALUES, strict=True)

    assert made.subject.endswith("hoş geldiniz")


async def test_new_words_that_cannot_be_filled_in_leave_the_message_as_it_was(
    db: "asyncpg.Pool[asyncpg.Record]", make_ctx: MakeContext, tenant: Tenant
) -> None:
    """The first process fills the tenant's words, the second one dies."""
    own = Override(version=0, subject="Selam", text="{% block opening %}Selam{% endblock %}")
    async with db.acquire() as connection, connection.transaction():
        await queries.store_override(
            connection, tenant.tenant_id, Key("welcome", "tr", "email"), own, by="a", at=utc_now()
        )
    calls: list[str] = []

    async def once(function: Any, *args: Any) -> Any:
        if calls:
            raise OffloadError("killed")
        calls.append("filled")
        return args[0](*args[1:])

    async def reword(opening: str) -> str:
        assert opening == "Selam"
        return "Merhaba"

    ctx = make_ctx("email.send_welcome", tools={"offload": once})

    made = await words(ctx, tenant.tenant_id, "welcome", MAIL, VALUES, reword=reword)

    assert made.text.startswith("Selam")
    assert made.version == "tenant-1"
