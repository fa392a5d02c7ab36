from datetime import date, timedelta
from itertools import chain
from typing import Any

import orjson

from jobs.sam_gov import core
from worker.demo.notices import BROKEN, COUNT, PAGE, notices, replies
from worker.demo.tenants import TENANTS
from worker.demo.words import HOSTILE_TITLES

DAY = date(2026, 11, 20)
FOUND = [core.read_reply(orjson.dumps(reply)) for reply in replies(DAY)]
ROWS = list(chain.from_iterable(found.opportunities for found in FOUND))


def test_all_notices_are_mapped_but_the_broken_ones() -> None:
    problems = [problem for found in FOUND for problem in found.problems]

    assert [found.total for found in FOUND] == [PAGE] * (COUNT // PAGE)
    assert len({row.notice_id for row in ROWS}) == COUNT - BROKEN
    assert [problem.partition(": ")[2] for problem in problems] == [
        "title is missing",
        "responseDeadLine is not a date",
    ]


def test_the_pages_have_the_shape_of_the_service() -> None:
    pages = list(replies(DAY))

    assert [page["offset"] for page in pages] == [0, 1, 2]
    assert {(page["totalRecords"], page["limit"]) for page in pages} == {(COUNT, PAGE)}
    assert all(list(page) == [*list(pages[0])] for page in pages)


def test_the_same_day_gives_the_same_replies() -> None:
    assert list(replies(DAY)) == list(replies(DAY))
    assert list(replies(DAY)) != list(replies(DAY, seed=1))


def test_the_deadlines_lie_around_the_day() -> None:
    days = [row.response_due_at.date() for row in ROWS if row.response_due_at]

    assert min(days) < DAY < max(days) <= DAY + timedelta(days=46)
    assert all(row.posted_on <= DAY for row in ROWS)
    assert any(row.response_due_on for row in ROWS)
    assert any(not (row.response_due_at or row.response_due_on) for row in ROWS)


def test_amendments_share_a_solicitation_number() -> None:
    amended = [row for row in ROWS if row.title.endswith("Amendment 0001")]
    originals = {row.solicitation_number for row in ROWS if row not in amended}

    assert len(amended) > 15
    assert {row.solicitation_number for row in amended} <= originals


def test_it_holds_what_makes_real_replies_hard() -> None:
    raw: list[dict[str, Any]] = list(notices(DAY))
    everything = orjson.dumps(raw).decode()

    assert set(HOSTILE_TITLES) <= {notice["title"] for notice in raw}
    assert all(word in everything for word in ("İstanbul", "Iğdır", "Łódź", "Ångström", "Київ"))
    assert "null" in [n["uiLink"] for n in raw]
    assert {"awardee": {}} in [n["award"] for n in raw]
    assert {} in [n["placeOfPerformance"] for n in raw]
    assert any(n["solicitationNumber"] != str(n["solicitationNumber"]).strip() for n in raw)
    assert {row.is_active for row in ROWS} == {True, False}
    assert sum(row.award_amount is not None for row in ROWS) > 10


def test_nobody_can_be_reached() -> None:
    addresses = [contact.email for row in ROWS for contact in row.contacts]
    addresses += [user.email for tenant in TENANTS for user in tenant.users]

    assert addresses
    assert all(address and address.endswith(".example") for address in addresses)


def test_the_tenants_are_apart() -> None:
    ids = [tenant.tenant_id for tenant in TENANTS]
    ids += [user.user_id for tenant in TENANTS for user in tenant.users]

    assert len(set(ids)) == len(ids) == 4
