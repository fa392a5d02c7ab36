"""The audit log in PostgreSQL: what is written stays as it is."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from worker import audit
from worker.audit import Entry

if TYPE_CHECKING:
    Db = asyncpg.Pool[asyncpg.Record]


def entry(**changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "principal": "ada",
        "role": "admin",
        "credential": "password",
        "tenant_id": None,
        "action": "queue.pause",
        "targets": ("email",),
        "filter": {"seconds": 5},
        "reason": "a reason",
        "ip": "127.0.0.1",
        "user_agent": "test",
        "request_id": "r-1",
    }
    return Entry(**{**fields, **changes})


async def test_what_is_written_is_read_newest_first(db: "Db") -> None:
    ids = [await audit.add(db, entry(principal=name), "begun") for name in ("ada", "bea", "ada")]
    await audit.end(db, ids[0], "done", affected=3)
    await audit.end(db, ids[1], "failed", error="unavailable")

    newest, *others = await audit.page(db, limit=10)
    assert [newest.audit_id, *(one.audit_id for one in others)] == ids[::-1]
    assert (newest.outcome, newest.entry) == ("begun", entry())
    assert [(one.outcome, one.affected, one.error) for one in others] == [
        ("failed", None, "unavailable"),
        ("done", 3, None),
    ]
    assert [one.audit_id for one in await audit.page(db, before=ids[2], limit=1)] == [ids[1]]
    assert [one.audit_id for one in await audit.page(db, principal="bea")] == [ids[1]]
    assert [one.audit_id for one in await audit.page(db, outcome="done")] == [ids[0]]
    assert await audit.page(db, action="queue.resume") == []
    assert await audit.page(db, until=newest.at - timedelta(days=1)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_log set principal = 'somebody else'",
        "update audit_log set outcome = 'refused'",
        "update audit_log set outcome = 'done', reason = 'another'",
        "delete from audit_log",
        "truncate audit_log",
        "insert into audit_log select * from audit_log",
    ],
)
async def test_nobody_changes_an_entry(db: "Db", statement: str) -> None:
    await audit.add(db, entry(), "begun")

    with pytest.raises(asyncpg.PostgresError):
        await db.execute(statement)


async def test_how_it_ended_is_said_once(db: "Db") -> None:
    audit_id = await audit.add(db, entry(), "begun")
    await audit.end(db, audit_id, "done", affected=1)

    await audit.end(db, audit_id, "failed")

    assert (await audit.page(db))[0].outcome == "done"
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await db.execute("update audit_log set outcome = 'failed'")


async def test_old_entries_are_forgotten_and_no_others(db: "Db") -> None:
    for days in (0, 10, 400):
        await db.execute(
            "insert into audit_log (at, principal, role, credential, action, outcome, targets, ip,"
            " user_agent, request_id)"
            " values (now() - make_interval(days => $1), 'ada', 'admin', 'token', 'x', 'done',"
            " '{}', '', '', '')",
            days,
        )

    assert await audit.forget(db, age=timedelta(days=365)) == 1
    assert await audit.forget(db, age=timedelta(days=365)) == 0
    assert len(await audit.page(db)) == 2
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await db.execute("delete from audit_log where at < now() - interval '5 days'")
