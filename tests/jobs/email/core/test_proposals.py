from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from jobs.email.core.proposals import (
    FINAL,
    OPEN,
    STATUSES,
    Change,
    label,
    notification_key,
    notification_values,
)

ZONE = ZoneInfo("Europe/Istanbul")
CHANGE = Change(
    change_id=UUID(int=1),
    title=" Çatı\r\nBcc: eve@x ",
    from_status="draft",
    to_status="in_review",
    changed_by="Iğdır  Şahin",
    changed_at=datetime(2026, 11, 20, 9, tzinfo=UTC),
    status="in_review",
    due_at=datetime(2026, 12, 5, 22, tzinfo=UTC),
    url="https://app.example/p/1",
)


@pytest.mark.parametrize("locale", ["en", "tr"])
def test_every_status_has_a_name_of_its_own(locale: str) -> None:
    names = {label(status, locale) for status in STATUSES}

    assert len(names) == len(STATUSES)
    assert not names & set(STATUSES)
    assert set(OPEN) | set(FINAL) | {"submitted"} == set(STATUSES)


def test_a_status_that_nobody_knows_reads_as_it_is() -> None:
    assert label("sent_back", "tr") == "sent back"


def test_the_mail_says_what_changed_from_what_by_whom_and_when() -> None:
    values = notification_values(CHANGE, zone=ZONE, locale="tr")

    assert values["title"] == "Çatı Bcc: eve@x"
    assert (values["status_before"], values["status_now"]) == ("Taslak", "İncelemede")
    assert values["changed_by"] == "Iğdır Şahin"
    assert values["changed_at"] == CHANGE.changed_at
    assert values["deadline"] == "6 Aralık 2026 Pazar 01:00 (İstanbul, GMT+03:00)"
    assert values["url"] == "https://app.example/p/1"
    assert values["changes"] == []


def test_a_proposal_that_has_gone_on_says_where_to() -> None:
    gone_on = replace(CHANGE, status="submitted")

    values = notification_values(gone_on, zone=ZONE, locale="en")

    assert values["status_now"] == "In review"
    assert values["changes"] == [("Since then", None, "Submitted")]


@pytest.mark.parametrize("status", ["submitted", *FINAL])
def test_what_is_handed_in_or_over_has_no_deadline_any_more(status: str) -> None:
    values = notification_values(replace(CHANGE, status=status), zone=ZONE, locale="en")

    assert values["deadline"] == ""


def test_what_is_not_known_is_left_out() -> None:
    bare = replace(
        CHANGE, from_status=None, changed_by=None, due_at=None, url="javascript:alert(1)"
    )

    values = notification_values(bare, zone=ZONE, locale="en")

    assert values["status_before"] is None
    assert (values["changed_by"], values["deadline"], values["url"]) == ("", "", None)


def test_a_deadline_that_is_a_day_has_no_hour() -> None:
    by_day = replace(CHANGE, due_at=None, due_on=date(2026, 12, 5))

    values = notification_values(by_day, zone=ZONE, locale="tr")

    assert values["deadline"] == "5 Aralık 2026 Cumartesi"


def test_the_key_is_one_for_each_change_and_member() -> None:
    keys = {notification_key(UUID(int=a), UUID(int=b)) for a in (1, 2) for b in (1, 2)}

    assert len(keys) == 4
