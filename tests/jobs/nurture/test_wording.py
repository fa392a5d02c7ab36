from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from clients.sms_text import length, transliterated
from jobs.messaging.catalogue import message
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import render
from jobs.nurture.wording import offered_channels, problem_of
from tests.conftest import Tenant
from tests.jobs.nurture.world import TEMPLATES

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

COMMON = {
    "name": "Deniz Kaya",
    "tenant": "Iğdır Yapı A.Ş.",
    "unsubscribe_url": "https://desk.example/unsubscribe/1",
    "postal_address": "",
    "reply_to": None,
    "palette": {
        "accent": "#0b57d0",
        "link": "#0b57d0",
        "on_accent": "#fff",
        "link_at_night": "#9cf",
    },
}


def test_other_words_are_plain_text_whatever_is_in_them() -> None:
    values = {**COMMON, **message("nurture_welcome").sample("en"), "language": "en"}
    hostile = 'a <b>bold</b> {{ name }} & "quoted" one'

    mail = render("nurture_welcome", Reader("en", "UTC", "email"), values, opening=hostile)

    assert hostile in mail.text
    assert "a &lt;b&gt;bold&lt;/b&gt; {{ name }} &amp;" in mail.html


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("locale", ["en", "tr"])
def test_every_message_of_the_welcome_has_words_in_both_languages(name: str, locale: str) -> None:
    values = {**COMMON, **message(name).sample(locale), "language": locale}

    mail = render(name, Reader(locale, "UTC", "email"), values)
    sms = render(name, Reader(locale, "UTC", "sms"), values)

    assert mail.subject
    for text in (mail.text, mail.html, sms.text):
        assert "https://book.example/visit" in text
        assert "Deniz Kaya" in text
    assert "STOP" in sms.text
    # A paragraph that a model may say in other words, the same one in both parts.
    assert mail.opening
    assert mail.opening in mail.text
    assert mail.opening in mail.html
    assert length(transliterated(sms.text)).segments <= 2


async def test_a_channel_is_offered_where_there_are_words_in_the_language(
    db: "Db", tenant: Tenant
) -> None:
    await db.execute(
        """
        insert into message_templates (tenant_id, name, language, channel, version, text, is_active,
                                       created_by)
        values ($1, 'nurture_spring', 'tr', 'sms', 1, 'Bahar', true, 'test')
        """,
        tenant.tenant_id,
    )

    async def offered(name: str, locale: str) -> set[str]:
        return set(await offered_channels(db, tenant.tenant_id, name, locale))

    assert await offered("nurture_spring", "tr") == {"sms"}
    assert await offered("nurture_spring", "en") == set()
    assert await offered("nurture_welcome", "en") == {"email", "sms"}
    assert await problem_of(db, tenant.tenant_id, "nurture_spring", frozenset()) is None
    assert "make it first" in str(await problem_of(db, uuid4(), "nurture_spring", frozenset()))
    missing = await problem_of(db, tenant.tenant_id, "nurture_welcome", frozenset())
    assert missing == "it needs a value for booking_url"
