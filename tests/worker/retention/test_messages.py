"""What messages leave behind: what goes, and what is needed still."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest

from jobs.messaging.queries import unsubscribe_token
from jobs.messaging.suppressions.queries import release
from tests.conftest import MakeSettings, Tenant
from tests.jobs.conftest import clock as clock  # noqa: PLC0414 - a fixture
from tests.jobs.conftest import rig as rig  # noqa: PLC0414 - a fixture
from tests.jobs.messaging.deliveries import NUMBER, inbound_payload, insert_delivery, suppressed
from tests.jobs.nurture.world import add_contact, add_sequence, reply, steps_after
from worker.clock import utc_now
from worker.retention import Gone, Keep, prune
from worker.retention.messages.queries import KINDS
from worker.settings import SettingsError
from worker.suppressions import find_subscriber, unsubscribe
from worker.testing import Rig

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
DAY = timedelta(days=1)
KEEP = Keep(completed=3, failed=2, age=30 * DAY, messages=400 * DAY, links=1000 * DAY)


async def pruned(db: Db, keep: Keep = KEEP, **options: Any) -> list[Gone]:
    async with db.acquire() as connection:
        return await prune(connection, keep, **options)


def gone(kind: str, rows: int) -> list[Gone]:
    return [Gone(queue=None, kind=kind, rows=rows)]


async def keys(db: Db) -> set[str]:
    return {row["key"] for row in await db.fetch("select key from deliveries")}


async def enrol(
    db: Db, tenant: Tenant, state: str, *, started_at: datetime, ended_at: datetime | None = None
) -> tuple[UUID, UUID]:
    """A contact and its enrolment, which has had one step."""
    contact_id, enrolment_id = await add_contact(db, tenant.tenant_id), uuid4()
    sequence_id = await add_sequence(db, tenant.tenant_id, steps_after(1), name=uuid4().hex)
    await db.execute(
        """
        insert into enrolments (tenant_id, enrolment_id, sequence_id, contact_id, state, end_reason,
                                started_at, ended_at, paused_at, counts_from)
        values ($1, $2, $3, $4, $5::text, case $5 when 'ended' then 'reply' end,
                $6::timestamptz, $7,
                case $5 when 'paused' then $6 end, $6)
        """,
        tenant.tenant_id,
        enrolment_id,
        sequence_id,
        contact_id,
        state,
        started_at,
        ended_at,
    )
    await db.execute(
        "insert into enrolment_steps (enrolment_id, step_id, state, at)"
        " values ($1, $2, 'sent', $3)",
        enrolment_id,
        uuid4(),
        started_at,
    )
    return contact_id, enrolment_id


# Deliveries


async def test_what_was_sent_long_ago_is_forgotten_and_what_is_in_doubt_is_not(
    db: Db, tenant: Tenant
) -> None:
    old, young = utc_now() - 401 * DAY, utc_now() - 399 * DAY
    for status in ("sent", "suppressed", "rejected", "sending", "unconfirmed"):
        for age, at in (("old", old), ("young", young)):
            await insert_delivery(
                db, tenant.tenant_id, key=f"{age} {status}", status=status, claimed_at=at
            )

    would = await pruned(db, is_dry_run=True)
    assert would == await pruned(db) == gone("deliveries", 3)

    young_ones = {f"young {status}" for status in ("sent", "suppressed", "rejected")}
    doubts = {f"{age} {one}" for age in ("old", "young") for one in ("sending", "unconfirmed")}
    assert await keys(db) == young_ones | doubts
    assert await pruned(db) == []


@pytest.mark.parametrize("page", [1, 2, 7])
async def test_the_size_of_a_page_changes_nothing(
    db: Db, tenant: Tenant, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.retention.messages.queries._ROWS", page)
    for number in range(9):
        at = utc_now() - (396 + number) * DAY
        await insert_delivery(db, tenant.tenant_id, key=f"{number}", claimed_at=at)

    assert await pruned(db) == gone("deliveries", 5)

    assert await keys(db) == {"0", "1", "2", "3"}


async def test_what_somebody_looks_at_is_left_to_the_next_pass(db: Db, tenant: Tenant) -> None:
    for key in ("looked at", "left alone"):
        at = utc_now() - 500 * DAY
        await insert_delivery(db, tenant.tenant_id, key=key, claimed_at=at)
    async with db.acquire() as other, other.transaction():
        await other.execute("select from deliveries where key = 'looked at' for update")

        assert await pruned(db) == gone("deliveries", 1)
        assert await keys(db) == {"looked at"}

    assert await pruned(db) == gone("deliveries", 1)


async def test_one_queue_alone_has_no_messages(db: Db, tenant: Tenant) -> None:
    await insert_delivery(db, tenant.tenant_id, claimed_at=utc_now() - 500 * DAY)

    assert await pruned(db, queue="email") == []


@pytest.mark.parametrize(
    ("settings", "days"),
    [({}, 400), ({"keep_days": 300}, 600), ({"keep_messages_days": 40}, 60)],
)
def test_it_outlives_every_replay_of_what_sent_it(
    make_settings: MakeSettings, settings: dict[str, int], days: int
) -> None:
    keep = Keep.of(make_settings(**settings))

    assert keep.messages == days * DAY
    assert keep.messages >= 2 * keep.age


@pytest.mark.parametrize("name", ["keep_messages_days", "keep_unsubscribe_days"])
def test_a_month_is_the_least(make_settings: MakeSettings, name: str) -> None:
    with pytest.raises(SettingsError, match=name.upper()):
        make_settings(**{name: 29})

    assert getattr(make_settings(**{name: 30}), name) == 30


async def test_stop_finds_whose_sms_it_answers_as_long_as_links_work(
    db: Db, rig: Rig, tenant: Tenant
) -> None:
    """A tenant without a number of its own is known by what it sent."""
    for key, days in (("older", 1001), ("old", 999)):
        at = utc_now() - days * DAY
        await insert_delivery(db, tenant.tenant_id, channel="sms", key=key, claimed_at=at)

    assert await pruned(db) == gone("deliveries of SMS", 1)

    assert await keys(db) == {"old"}
    payload = inbound_payload("İPTAL")
    assert (await rig.run("messaging.record_twilio_status", payload)).succeeded().did == "stopped"
    assert await suppressed(db) == {(tenant.tenant_id, "sms", NUMBER, "opted out")}


async def test_an_sms_is_remembered_as_long_as_a_replay_of_it_may_be(
    db: Db, tenant: Tenant
) -> None:
    at = utc_now() - 399 * DAY
    await insert_delivery(db, tenant.tenant_id, channel="sms", claimed_at=at)

    assert await pruned(db, replace(KEEP, links=30 * DAY)) == []


# Replies and enrolments


@pytest.mark.parametrize(
    ("state", "is_needed"), [("active", True), ("paused", True), ("ended", False)]
)
async def test_a_reply_stays_while_a_sequence_may_end_with_it(
    db: Db, tenant: Tenant, state: str, *, is_needed: bool
) -> None:
    ended_at = utc_now() - DAY if state == "ended" else None
    started_at = utc_now() - 500 * DAY
    contact_id, _ = await enrol(db, tenant, state, started_at=started_at, ended_at=ended_at)
    before, since = started_at - DAY, started_at + DAY
    young = utc_now() - DAY
    for at in (before, since, young):
        await reply(db, tenant.tenant_id, contact_id, at)

    told = await pruned(db)

    left = {row[0] for row in await db.fetch("select replied_at from contact_replies")}
    assert left == ({since, young} if is_needed else {young})
    assert told == gone("replies", 1 if is_needed else 2)


async def test_who_has_been_through_a_sequence_for_long_is_forgotten_with_the_steps(
    db: Db, tenant: Tenant
) -> None:
    old, young = utc_now() - 401 * DAY, utc_now() - 399 * DAY
    for state in ("ended", "completed"):
        await enrol(db, tenant, state, started_at=old - DAY, ended_at=old)
    kept = {
        (await enrol(db, tenant, state, started_at=old - DAY, ended_at=at))[1]
        for state, at in (
            ("ended", young),
            ("completed", young),
            ("active", None),
            ("paused", None),
        )
    }

    assert await pruned(db) == gone("enrolments that are over", 2)

    for table in ("enrolments", "enrolment_steps"):
        rows = await db.fetch(f"select enrolment_id from {table}")  # noqa: S608 - own words
        assert {row[0] for row in rows} == kept


# Ways out


async def test_that_a_reason_was_lifted_holds_as_long_as_an_older_event_may_come(
    db: Db, tenant: Tenant
) -> None:
    for address, age in (("old@a.example", 401), ("kept@a.example", 399)):
        async with db.acquire() as connection, connection.transaction():
            await release(
                connection,
                [tenant.tenant_id],
                "email",
                address,
                reasons=["group unsubscribed"],
                at=utc_now() - age * DAY,
            )

    assert await pruned(db) == gone("lifted suppressions", 1)

    rows = await db.fetch("select address from suppression_releases")
    assert [row[0] for row in rows] == ["kept@a.example"]


async def test_a_link_works_for_years_after_the_last_mail_with_it(db: Db, tenant: Tenant) -> None:
    tokens = {}
    for address, age in (
        ("old@a.example", 1001),
        ("kept@a.example", 999),
        ("used@a.example", 1001),
    ):
        tokens[address] = await unsubscribe_token(db, tenant.tenant_id, address, "tr")
        await db.execute(
            "update unsubscribe_links set shown_at = now() - $2::interval where token = $1",
            tokens[address],
            age * DAY,
        )
    again = await unsubscribe_token(db, tenant.tenant_id, "used@a.example", "tr")

    assert await pruned(db) == gone("unsubscribe links", 1)

    assert again == tokens["used@a.example"]
    assert await find_subscriber(db, tokens["old@a.example"]) is None
    for address in ("kept@a.example", "used@a.example"):
        await unsubscribe(db, tokens[address], utc_now())
    rows = await db.fetch("select address from suppressions order by address")
    assert [row[0] for row in rows] == ["kept@a.example", "used@a.example"]


async def test_a_link_is_written_once_a_day_however_many_mails_have_it(
    db: Db, tenant: Tenant
) -> None:
    async def use() -> str:
        await unsubscribe_token(db, tenant.tenant_id, "a@b.example", "tr")
        return str(await db.fetchval("select xmin::text from unsubscribe_links"))

    first = await use()
    assert await use() == first
    await db.execute("update unsubscribe_links set shown_at = now() - interval '25 hours'")
    moved = await use()
    assert moved != first
    assert await use() == moved
    assert await db.fetchval("select shown_at > now() - interval '1 hour' from unsubscribe_links")


# Cost


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_an_index_finds_what_is_old(db: Db, kind: Any) -> None:
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("set local enable_seqscan = off")
        rows = await connection.fetch(
            f"explain select {kind.key} {kind.old} order by {kind.instant} limit 10",
            utc_now(),
        )
    plan = "\n".join(row[0] for row in rows)

    index = {
        "deliveries": "deliveries_by_age",
        "deliveries of SMS": "deliveries_of_sms_by_age",
        "replies": "contact_replies_by_age",
        "enrolments that are over": "enrolments_by_end",
        "lifted suppressions": "suppression_releases_by_age",
        "unsubscribe links": "unsubscribe_links_by_age",
    }[kind.name]
    assert f"using {index}" in plan.replace("Using", "using")
    assert "Sort" not in plan


async def test_one_pass_takes_many_pages(db: Db, tenant: Tenant) -> None:
    await db.execute(
        """
        insert into deliveries (tenant_id, key, recipient, channel, template, provider, status,
                                message_id, run_id, claimed_at)
        select $1, 'k' || n, 'a' || n || '@b.example', 'email', 't', 'file', 'sent', 'm' || n, 'r',
               now() - interval '401 days' + (n > 90000)::int * interval '10 days'
          from generate_series(1, 100000) as n
        """,
        tenant.tenant_id,
    )

    assert await pruned(db) == gone("deliveries", 90_000)

    assert await db.fetchval("select count(*) from deliveries") == 10_000
