from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest

from jobs.email import notify_proposal_change as module
from jobs.email.notify_proposal_change import notify_proposal_change
from tests.conftest import User
from tests.jobs.email.rows import add_change, add_proposal, add_user
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def told(db: "Db") -> list[UUID]:
    """Who is to be told."""
    rows = await db.fetch(
        "select message from outbox where job = 'email.send_proposal_notification'"
    )
    payloads: list[dict[str, Any]] = [orjson.loads(row["message"])["a"][0] for row in rows]
    return sorted(UUID(payload["user_id"]) for payload in payloads)


async def test_the_team_is_told_but_not_who_made_the_change(rig: Rig, db: "Db", user: User) -> None:
    others = [await add_user(db, user.tenant_id) for _ in range(3)]
    await add_user(db, user.tenant_id)  # who is not on the team
    proposal_id = await add_proposal(db, user.tenant_id, team=(user.user_id, *others))
    change_id = await add_change(
        db, user.tenant_id, proposal_id, "in_review", changed_by=user.user_id
    )
    payload = {"tenant_id": str(user.tenant_id), "change_id": str(change_id)}

    ended = (await rig.run(notify_proposal_change, payload)).succeeded()

    assert ended == {"mails": 3}
    assert await told(db) == sorted(others)


async def test_a_change_that_nobody_of_the_users_made_is_told_to_all(
    rig: Rig, db: "Db", user: User
) -> None:
    proposal_id = await add_proposal(db, user.tenant_id, team=(user.user_id,))
    change_id = await add_change(db, user.tenant_id, proposal_id, "won")

    payload = {"orgId": str(user.tenant_id), "changeId": str(change_id)}
    (await rig.run(notify_proposal_change, payload)).succeeded()

    assert await told(db) == [user.user_id]


async def test_one_who_is_alone_on_the_team_tells_nobody(rig: Rig, db: "Db", user: User) -> None:
    proposal_id = await add_proposal(db, user.tenant_id, team=(user.user_id,))
    change_id = await add_change(db, user.tenant_id, proposal_id, "won", changed_by=user.user_id)
    payload = {"tenant_id": str(user.tenant_id), "change_id": str(change_id)}

    assert (await rig.run(notify_proposal_change, payload)).succeeded() == {"mails": 0}
    assert await told(db) == []


async def test_a_large_team_is_gone_through_in_pages(
    rig: Rig, db: "Db", user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    team = [await add_user(db, user.tenant_id) for _ in range(5)]
    proposal_id = await add_proposal(db, user.tenant_id, team=tuple(team))
    change_id = await add_change(db, user.tenant_id, proposal_id, "submitted")
    payload = {"tenant_id": str(user.tenant_id), "change_id": str(change_id)}

    assert (await rig.run(notify_proposal_change, payload)).succeeded() == {"mails": 5}
    assert await told(db) == sorted(team)


@pytest.mark.parametrize("stranger", ["tenant_id", "change_id"])
async def test_a_change_that_is_gone_or_anothers_tells_nobody(
    rig: Rig, db: "Db", user: User, stranger: str
) -> None:
    proposal_id = await add_proposal(db, user.tenant_id, team=(user.user_id,))
    change_id = await add_change(db, user.tenant_id, proposal_id, "won")
    payload = {"tenant_id": str(user.tenant_id), "change_id": str(change_id)}

    ended = await rig.run(notify_proposal_change, {**payload, stranger: str(uuid4())})

    assert ended.cancelled() == "there is no such change any more"
    assert await told(db) == []
