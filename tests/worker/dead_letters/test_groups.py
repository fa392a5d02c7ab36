"""Alike errors together: what is alike, and that the counts are those of the letters."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.worker.dead_letters.conftest import NOW, MakeLetter
from tests.worker.testing_jobs import ship_order
from worker.dead_letters import (
    Filter,
    GroupCursor,
    count_waiting,
    discard,
    discard_all,
    group_older,
    list_dead_letters,
    list_groups,
    purge,
)

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
TENANT = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


@pytest.fixture(autouse=True)
def _counts_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for so few letters, which would be looked at themselves."""
    monkeypatch.setattr("worker.dead_letters.SAMPLE", 0)


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("order 4711 of 3.5 kg at 12:30:05", "order <n> of <n> kg at <n>"),
        ("no tenant 6ba7b810-9dad-11d1-80b4-00c04fd430c8", "no tenant <uuid>"),
        ("no file 'a b.pdf', no \"x\", no `y`", "no file <text>, no <text>, no <text>"),
        ("can't open what isn't there", "can't open what isn't there"),
        ("<A object at 0x7f3ac0ffee00>: e3b0c44298fc1c14", "<A object at <hex>>: <hex>"),
        ("facade effaced deadbeef", "facade effaced deadbeef"),
        ("two\n  lines", "two lines"),
        ("“Iğdır” yok, «3» yok", "<text> yok, <text> yok"),
        ("", ""),
    ],
)
async def test_a_template_leaves_out_what_differs(db: Db, message: str, template: str) -> None:
    assert await db.fetchval("select dead_letter_template($1)", message) == template


async def test_a_long_or_hostile_message_takes_no_time(db: Db) -> None:
    for sign in ("'", '"', "a", "1.", "1", "f0", "\\", "<"):
        async with asyncio.timeout(2):
            await db.fetchval("select dead_letter_template($1)", sign * 50_000)


async def test_letters_are_alike_by_job_type_and_message(db: Db, make_letter: MakeLetter) -> None:
    one = await make_letter(error_message="order 1 is 'late'")
    two = await make_letter(
        error_message="order 22 is 'early'", ended_at=NOW + timedelta(minutes=9)
    )
    await make_letter(error_message="order 1 is lost")
    await make_letter(error_message="order 1 is 'late'", error_type="KeyError")
    await make_letter(error_message="order 1 is 'late'", job=ship_order.name)
    await make_letter(error_message=None, error_type=None)

    groups, is_partial = await list_groups(db)

    assert not is_partial
    assert [group.letters for group in groups] == [2, 1, 1, 1, 1]
    first = groups[0]
    assert (first.template, first.error_type) == ("order <n> is <text>", "ValueError")
    assert (first.first_at, first.last_at) == (
        NOW + timedelta(minutes=2),
        NOW + timedelta(minutes=9),
    )
    assert first.example_id == two
    letters = await list_dead_letters(db, Filter(error_group=first.error_group))
    assert [letter.dead_letter_id for letter in letters] == [two, one]


@pytest.mark.parametrize(
    "which",
    [
        Filter(),
        Filter(queue="email"),
        Filter(reason="poison"),
        Filter(job="old-ship"),
        Filter(error_type="KeyError"),
        Filter(queue="email", reason="poison"),
        Filter(status="discarded"),
        Filter(status="replayed"),
        Filter(queue="nowhere"),
    ],
    ids=str,
)
async def test_what_was_counted_is_what_is_there(
    db: Db, make_letter: MakeLetter, which: Filter
) -> None:
    """The kept counts, beside those of a filter for which the letters themselves are counted."""
    for number in range(24):
        letter_id = await make_letter(
            queue=("default", "email")[number % 2],
            reason=("rejected", "poison")[number % 3 == 0],
            job=("testing.add_line", ship_order.name)[number % 5 == 0],
            error_type=("ValueError", "KeyError")[number % 7 == 0],
            ended_at=NOW + timedelta(minutes=number),
        )
        if number % 4 == 0:
            await discard(db, letter_id, reason="no use")
    await drain(purge(db, Filter(queue="email", reason="poison", error_type="KeyError")))

    kept, _ = await list_groups(db, which)
    looked_at, is_partial = await list_groups(db, replace(which, since=NOW - timedelta(days=1)))

    assert kept == looked_at
    assert not is_partial


async def drain(pages: object) -> int:
    return sum([number async for number in pages])  # type: ignore[attr-defined]  # of any kind


async def test_groups_have_pages(db: Db, make_letter: MakeLetter) -> None:
    for times, name in ((1, "a"), (3, "b"), (1, "c"), (2, "d")):
        for _ in range(times):
            await make_letter(error_message=f"went {name}")

    for which in (Filter(), Filter(since=NOW)):
        seen, place = [], None
        while page := (await list_groups(db, which, before=place, limit=2))[0]:
            seen += page
            place = GroupCursor.parse(str(page[-1].cursor))
        assert [group.letters for group in seen] == [3, 2, 1, 1]
        assert len({group.error_group for group in seen}) == 4


async def test_a_filter_that_has_no_counts_looks_at_the_newest(
    db: Db, make_letter: MakeLetter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await make_letter(tenant_id=TENANT, error_message=f"order {number}")
    await make_letter(tenant_id=uuid4())
    monkeypatch.setattr("worker.dead_letters.queries.SAMPLE", 3)

    (group,), is_partial = await list_groups(db, Filter(tenant_id=TENANT))

    assert (group.letters, is_partial) == (3, True)


async def test_letters_from_before_are_grouped_later_and_are_never_missing(
    db: Db, make_letter: MakeLetter
) -> None:
    ids = [await make_letter() for _ in range(5)]
    (group,), _ = await list_groups(db)
    await db.execute("update dead_letters set error_group = null, headers = null")
    assert await list_groups(db) == ([], False)
    assert await count_waiting(db) == {"default": 5}
    await discard(db, ids[0], reason="meanwhile")

    assert await group_older(db) == 5

    assert await group_older(db) == 0
    (again,), _ = await list_groups(db)
    assert again == replace(group, letters=4)
    assert await count_waiting(db) == {"default": 4}


async def test_writers_at_once_count_right_and_do_not_wait_for_each_other(
    db: Db, make_letter: MakeLetter
) -> None:
    async def write() -> None:
        for name in ("a", "b", "c", "d", "c", "b", "a"):
            await make_letter(error_message=f"went {name}")

    await asyncio.gather(write(), write(), drain(discard_all(db, Filter(), reason="r")), write())
    await asyncio.gather(
        drain(discard_all(db, Filter(text="went b"), reason="r")),
        drain(purge(db, Filter(text="went a"))),
        drain(purge(db, Filter(status="discarded"))),
    )

    rows = await db.fetch("select * from dead_letter_groups order by error_group, status")
    counted = await db.fetch(
        "select error_group, status, count(*) as letters from dead_letters"
        " group by 1, 2 order by 1, 2"
    )
    assert [(r["error_group"], r["status"], r["letters"]) for r in rows] == [
        tuple(row) for row in counted
    ]


async def test_an_emptied_table_has_no_groups(db: Db, make_letter: MakeLetter) -> None:
    await make_letter()

    await db.execute("truncate dead_letters")

    assert await list_groups(db) == ([], False)
