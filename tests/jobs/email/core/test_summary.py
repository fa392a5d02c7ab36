from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from jobs.email.core.opportunities import Opportunity
from jobs.email.core.summary import (
    Activity,
    DueProposal,
    StatusChange,
    WeekFacts,
    summary_key,
    summary_values,
)
from jobs.email.core.weeks import Week

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
WEEK = Week.parse("2026-W47")
ZONE = ZoneInfo("Europe/Istanbul")


@pytest.mark.parametrize(
    ("facts", "is_quiet"),
    [
        (WeekFacts(), True),
        (WeekFacts(statuses={"draft": 3}), True),
        (WeekFacts(posted=1), False),
        (WeekFacts(closing=1), False),
        (WeekFacts(changed=1), False),
        (WeekFacts(due=1), False),
        (WeekFacts(activity=Activity(started=1)), False),
        (WeekFacts(activity=Activity(lost=1)), False),
    ],
)
def test_a_week_is_quiet_when_nothing_came_closes_changed_or_is_due(
    facts: WeekFacts, *, is_quiet: bool
) -> None:
    assert facts.is_quiet is is_quiet


def test_figures_count_all_and_name_what_there_is() -> None:
    facts = WeekFacts(posted=12, still_open=9, due=2, changed=3, activity=Activity(won=1))

    values = summary_values(facts, WEEK, now=NOW, zone=ZONE, locale="en")

    assert values["figures"] == [
        ("New opportunities", 12),
        ("Closing this week", 0),
        ("Proposals due this week", 2),
        ("Changes of your proposals", 3),
        ("Won", 1),
    ]
    assert values["new_total"] == 9
    assert (values["week_from"], values["week_to"]) == (date(2026, 11, 16), date(2026, 11, 22))


def test_lines_are_the_readers_and_on_one_line_each() -> None:
    facts = WeekFacts(
        closing=1,
        closing_first=[Opportunity(notice_id="1", title="a\nb", notice_type="", is_active=True)],
        changed=1,
        changes=[StatusChange(title="c\td", from_status=None, to_status="draft", changed_at=NOW)],
        due=1,
        due_first=[
            DueProposal(title="e", status="in_review", due_on=date(2026, 11, 25), url="x:y")
        ],
        statuses={"won": 1, "draft": 2, "lost": 0},
    )

    values = summary_values(facts, WEEK, now=NOW, zone=ZONE, locale="tr")

    assert values["closing"][0].title == "a b"
    assert values["changes"][0] == {
        "title": "c d",
        "before": None,
        "after": "Taslak",
        "changed_at": NOW,
        "url": None,
    }
    assert values["due"][0]["deadline"] == "25 Kasım 2026 Çarşamba"
    assert values["due"][0]["url"] is None
    assert values["statuses"] == [("Taslak", 2), ("Kazanıldı", 1)]


def test_the_key_is_one_a_week_and_user() -> None:
    assert summary_key(UUID(int=7), WEEK) == f"weekly-summary:{UUID(int=7)}:2026-W47"
