from typing import Any

import pytest

from jobs.operations.core import Trouble
from jobs.operations.send_notice_mail import NoticeMail, send_notice_mail
from tests.jobs.operations.troubles import trouble, waiting
from worker.testing import Rig

OPS = "ops@example.com"


def payload(*troubles: Trouble, **changes: Any) -> dict[str, Any]:
    mail = NoticeMail(
        to=OPS,
        language="en",
        timezone="Europe/Istanbul",
        service="worker-service",
        environment="production",
        troubles=troubles or (trouble(),),
    )
    return mail.model_copy(update=changes).model_dump(mode="json")


async def send(*troubles: Trouble, **changes: Any) -> tuple[str, str, str]:
    """Subject, text and HTML of the mail to an admin."""
    with Rig() as rig:
        ended = await rig.run(send_notice_mail, payload(*troubles, **changes))
        assert ended.succeeded().status == "sent"
        (sent,) = rig.mails
    assert sent.mail.to == OPS
    assert sent.mail.unsubscribe_url is None
    return sent.mail.subject, sent.mail.text, sent.mail.html


async def test_a_mail_says_what_failed_how_often_and_since_when() -> None:
    subject, text, html = await send()

    assert subject == (
        "worker-service: email.send_opportunity_reminder failed 41 times (ServiceUnavailableError)"
    )
    assert "3 runs were given up on" in text
    assert "First: " in text
    assert "9:30" in text  # where the admins live
    assert "5b1c0c3c9a1f4f0b8f3f6f8b7a2d1e4c" in text
    assert "/api/v1/runs?job=email.send_opportunity_reminder&state=dead" in text
    assert "ALERT_EMAIL" in text
    assert "/api/v1/runs?job=email.send_opportunity_reminder&amp;state=dead" in html


@pytest.mark.parametrize("language", ["en", "tr"])
@pytest.mark.parametrize("change", ["opened", "ongoing", "closed"])
@pytest.mark.parametrize("kind", ["failures", "waiting", "unserved"])
async def test_each_kind_and_change_has_words_of_its_own(
    kind: str, change: str, language: str
) -> None:
    one = trouble(change=change) if kind == "failures" else waiting(kind=kind, change=change)

    subject, text, html = await send(one, language=language)

    expected = {
        ("failures", "opened"): ("failed 41 times", "41 kez başarısız oldu"),
        ("failures", "ongoing"): ("still fails: 41 more", "hâlâ başarısız: 41 kez daha"),
        ("failures", "closed"): ("fails no more", "artık hata vermiyor"),
        ("waiting", "opened"): ("1,240 runs wait in queue email", "1.240 iş bekliyor"),
        ("waiting", "ongoing"): ("1,240 runs still wait", "hâlâ 1.240 iş bekliyor"),
        ("waiting", "closed"): ("queue email has caught up", "birikme kalmadı"),
        ("unserved", "opened"): ("no worker serves queue email", "hiçbir worker bakmıyor"),
        ("unserved", "ongoing"): ("still no worker serves", "hâlâ hiçbir worker bakmıyor"),
        ("unserved", "closed"): ("is served again", "yeniden bakılıyor"),
    }[kind, change][language == "tr"]
    assert expected in subject
    assert expected in text
    assert expected in html
    assert "{" not in subject + text


@pytest.mark.parametrize(
    ("language", "rest"), [("en", " and 6 more"), ("tr", " ve 6 bildirim daha")]
)
async def test_several_are_one_mail(language: str, rest: str) -> None:
    subject, text, _ = await send(trouble(), waiting(notice_id=18), language=language, more=5)

    assert subject.endswith(rest)
    assert "1,240" in text or "1.240" in text
    assert "deskhand notices" in text


async def test_odd_names_break_out_of_nothing() -> None:
    """An unknown job is called as somebody outside pleases."""
    name = "<script>alert(1)</script>\n{{ 7 * 7 }}"

    subject, text, html = await send(trouble(job=name, error_type="A&B"))

    assert "\n" not in subject
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "{{ 7 * 7 }}" in text


async def test_it_is_sent_once_for_each_telling() -> None:
    with Rig() as rig:
        for changes in ({}, {}, {"edition": 2}):
            await rig.run(send_notice_mail, payload(trouble(**changes)))

        assert len(rig.mails) == 2


def test_history_does_not_show_whom_it_went_to() -> None:
    assert send_notice_mail.sensitive == frozenset({"to"})
