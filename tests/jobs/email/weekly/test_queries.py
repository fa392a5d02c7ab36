from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from jobs.email.core.summary import LISTED, WeekFacts
from jobs.email.core.weeks import Week
from jobs.email.weekly import queries
from tests.conftest import User
from tests.jobs.email.notices import insert_notice
from tests.jobs.email.rows import add_change, add_proposal, add_user
from tests.jobs.email.weekly.counting import count
from tests.jobs.email.weekly.history import make_history, store

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

WEEK = Week.parse("2026-W47")


def numbers(facts: WeekFacts) -> dict[str, Any]:
    names = ("posted", "still_open", "closing", "statuses", "changed", "due")
    return {name: getattr(facts, name) for name in names} | asdict(facts.activity)


def assert_lists_fit(facts: WeekFacts) -> None:
    lists: Sequence[tuple[Sequence[object], int]] = (
        (facts.new, facts.still_open),
        (facts.closing_first, facts.closing),
        (facts.changes, facts.changed),
        (facts.due_first, facts.due),
    )
    assert [len(listed) for listed, _ in lists] == [min(all_, LISTED) for _, all_ in lists]


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "2026-W47"),
        ("Europe/Istanbul", "2026-W53"),  # over the end of the year
        ("America/New_York", "2026-W10"),  # an hour less
        ("America/New_York", "2026-W44"),  # an hour more
        ("America/New_York", "2026-W43"),  # the week after has an hour more
        ("America/Havana", "2026-W44"),  # where midnight comes twice
        ("Asia/Beirut", "2026-W12"),  # where a midnight is skipped
        ("Australia/Lord_Howe", "2026-W14"),  # by half an hour
        ("Pacific/Kiritimati", "2026-W47"),
        ("Etc/GMT+12", "2026-W47"),
    ],
)
@pytest.mark.parametrize("seed", range(6))
async def test_the_numbers_are_those_that_a_person_would_count(
    db: "Db", user: User, zone: str, text: str, seed: int
) -> None:
    random, week, there = Random(f"{zone}{text}{seed}"), Week.parse(text), ZoneInfo(zone)  # noqa: S311 - the same every time
    history = make_history(random, user.tenant_id, week, there)
    await store(db, history, user.tenant_id, user.user_id)
    now = week.ends_at(there) + timedelta(hours=random.choice([0, 8, 30]))

    facts = await queries.facts(db, user.tenant_id, user.user_id, week, now=now, zone=there)

    assert numbers(facts) == count(history, week, there, now)
    assert_lists_fit(facts)


async def test_another_tenants_week_is_none_of_this_ones(db: "Db", user: User) -> None:
    other = uuid4()
    await db.execute("insert into tenants (tenant_id, name) values ($1, 'Other')", other)
    theirs = await add_user(db, other)
    at = WEEK.begins_at(ZoneInfo("UTC"))
    await insert_notice(db, other, "n", response_due_at=WEEK.ends_at(ZoneInfo("UTC")))
    proposal_id = await add_proposal(
        db, other, team=(theirs, user.user_id), created_at=at, due_on=WEEK.next.first_on
    )
    await add_change(db, other, proposal_id, "won", changed_at=at)

    facts = await queries.facts(
        db, user.tenant_id, user.user_id, WEEK, now=at, zone=ZoneInfo("UTC")
    )

    assert facts == WeekFacts(new=[], closing_first=[], changes=[], due_first=[])


async def test_the_first_of_each_kind_are_the_next_due_and_the_newest(db: "Db", user: User) -> None:
    zone = ZoneInfo("Europe/Istanbul")
    start = WEEK.next.begins_at(zone)
    for number in range(LISTED + 2):
        await insert_notice(
            db,
            user.tenant_id,
            f"n{number:02}",
            response_due_at=start + timedelta(hours=20 - number),
        )
        proposal_id = await add_proposal(
            db,
            user.tenant_id,
            team=(user.user_id,),
            title=f"P{number}",
            due_at=start + timedelta(hours=20 - number),
        )
        await add_change(
            db,
            user.tenant_id,
            proposal_id,
            "in_review",
            changed_at=start - timedelta(hours=number + 1),
        )

    facts = await queries.facts(db, user.tenant_id, user.user_id, WEEK, now=start, zone=zone)

    assert (facts.closing, facts.changed, facts.due) == (12, 12, 12)
    assert [one.notice_id for one in facts.closing_first] == [f"n{n:02}" for n in range(11, 1, -1)]
    assert [one.title for one in facts.due_first] == [f"P{n}" for n in range(11, 1, -1)]
    assert [one.title for one in facts.changes] == [f"P{n}" for n in range(10)]
