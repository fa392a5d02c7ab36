"""`words` is tried with whole messages in test_writing; here is what makes it choose."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from clients.errors import RequestRejectedError
from jobs.email.core.opportunities import reminder_values
from jobs.email.core.summary import LISTED
from jobs.email.samples import notices
from jobs.kit import OffloadError, discover
from jobs.messaging import queries
from jobs.messaging.catalogue import message, messages
from jobs.messaging.core.override import Override
from jobs.messaging.queries import Key
from jobs.messaging.rendering import render
from jobs.messaging.wording import HEAVIEST, weight, words
from tests.conftest import MakeContext, Tenant
from tests.jobs.messaging.mails import COMMON, MAIL
from worker.clock import utc_now
from worker.offload import Offloader

if TYPE_CHECKING:
    import asyncpg

discover()
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


def lines(number: int) -> dict[str, Any]:
    notice = notices("tr")[0]
    many = [replace(notice, notice_id=str(one)) for one in range(number)]
    zone = ZoneInfo("Europe/Istanbul")
    now = datetime(2026, 12, 3, 9, tzinfo=UTC)
    return {**COMMON, **reminder_values(many, now=now, zone=zone, locale="tr", report=None)}


async def test_many_lines_are_written_in_a_process_and_few_are_not(
    make_ctx: MakeContext, tenant: Tenant
) -> None:
    asked: list[int] = []
    offloader = Offloader()

    async def offload(function: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(len(args[2]["lines"]))
        return await offloader(function, *args, **kwargs)

    ctx = make_ctx("email.send_opportunity_reminder", tools={"offload": offload})

    made = [
        await words(ctx, tenant.tenant_id, "opportunity_reminder", MAIL, lines(number))
        for number in (1, 10, 200)
    ]

    assert asked == [200]
    assert made[2] == render("opportunity_reminder", MAIL, lines(200))
    assert made[2].html.count("W912QR-27-B-0001") == 200


async def test_very_long_texts_are_written_in_a_process_too(
    make_ctx: MakeContext, tenant: Tenant
) -> None:
    ctx = make_ctx("email.send_welcome", tools={"offload": died})

    with pytest.raises(OffloadError):
        await words(ctx, tenant.tenant_id, "welcome", MAIL, {**VALUES, "name": "a" * 100_000})


async def test_what_does_not_fill_a_template_is_told_from_a_process_too(
    make_ctx: MakeContext, tenant: Tenant
) -> None:
    ctx = make_ctx("email.send_opportunity_reminder")
    values = lines(200)
    del values["report"]

    with pytest.raises(RequestRejectedError, match="there is no report"):
        await words(ctx, tenant.tenant_id, "opportunity_reminder", MAIL, values)


@pytest.mark.parametrize("name", [one.name for one in messages() if "email" in one.channels])
def test_a_message_of_usual_size_needs_no_process(name: str) -> None:
    """Of weekly summaries there are thousands on a Monday, so even the longest has to be cheap."""
    values = message(name).sample("en")
    longest = {key: (one * LISTED)[:LISTED] for key, one in values.items() if isinstance(one, list)}

    assert weight({**COMMON, **values, **longest}) <= HEAVIEST
