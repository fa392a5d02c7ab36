"""A tenant's weeks, made up: what happened is drawn close to where weeks begin and end."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from jobs.email.core.proposals import STATUSES
from jobs.email.core.weeks import Week

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

Row = dict[str, Any]


@dataclass
class History:
    """Rows as the database has them; `mine` are the user's proposals."""

    notices: list[Row] = field(default_factory=list)
    proposals: list[Row] = field(default_factory=list)
    changes: list[Row] = field(default_factory=list)
    mine: set[UUID] = field(default_factory=set)


def make_history(random: Random, tenant_id: UUID, week: Week, zone: ZoneInfo) -> History:
    edges = [week.begins_at(zone), week.ends_at(zone), week.next.ends_at(zone)]

    def instant() -> datetime:
        """At the edge itself, around it, an hour off (a clock that was changed), or anywhere."""
        edge = random.choice(edges)
        seconds = random.choice([0, -1, 1, 3600, -3600, random.randrange(-600_000, 600_000)])
        return edge + timedelta(seconds=seconds)

    def day() -> date:
        return week.first_on + timedelta(days=random.choice([-1, 0, 3, 6, 7, 8, 13, 14]))

    history = History()
    for number in range(random.randrange(40)):
        due = random.choice(["at", "on", "both", "none"])
        history.notices.append(
            {
                "tenant_id": tenant_id,
                "notice_id": f"n{number}",
                "title": f"Notice {random.randrange(5)}",
                "notice_type": "Solicitation",
                "is_active": random.random() < 0.8,
                "posted_on": day(),
                "response_due_at": instant() if due in {"at", "both"} else None,
                "response_due_on": day() if due in {"on", "both"} else None,
                "content_sha256": "",
            }
        )
    for _ in range(random.randrange(15)):
        _add_proposal(random, history, tenant_id, instant, day)
    return history


def _add_proposal(
    random: Random, history: History, tenant_id: UUID, instant: Any, day: Any
) -> None:
    proposal_id = uuid4()
    due = random.choice(["at", "on", "both", "none"])
    history.proposals.append(
        {
            "tenant_id": tenant_id,
            "proposal_id": proposal_id,
            "title": f"Proposal {len(history.proposals)}",
            "status": random.choice(STATUSES),
            "due_at": instant() if due in {"at", "both"} else None,
            "due_on": day() if due in {"on", "both"} else None,
            "created_at": instant(),
        }
    )
    if random.random() < 0.6:
        history.mine.add(proposal_id)
    history.changes += [
        {
            "tenant_id": tenant_id,
            "change_id": uuid4(),
            "proposal_id": proposal_id,
            "from_status": random.choice([*STATUSES, None]),
            "to_status": random.choice(STATUSES),
            "changed_at": instant(),
        }
        for _ in range(random.randrange(6))
    ]


async def store(db: "Db", history: History, tenant_id: UUID, user_id: UUID) -> None:
    """In the place of what was there."""
    for table in ("opportunities", "proposals"):
        await db.execute(f"delete from {table} where tenant_id = $1", tenant_id)  # noqa: S608 - names from this line
    members = [
        {"tenant_id": tenant_id, "proposal_id": one, "user_id": user_id} for one in history.mine
    ]
    for table, rows in (
        ("opportunities", history.notices),
        ("proposals", history.proposals),
        ("proposal_changes", history.changes),
        ("proposal_members", members),
    ):
        if not rows:
            continue
        places = ", ".join(f"${number}" for number in range(1, len(rows[0]) + 1))
        await db.executemany(
            f"insert into {table} ({', '.join(rows[0])}) values ({places})",  # noqa: S608 - names from this file
            [tuple(row.values()) for row in rows],
        )


def day_there(at: datetime, zone: ZoneInfo) -> date:
    """By the wall calendar, and not by any arithmetic of weeks."""
    return at.astimezone(zone).date()


def over_everywhere_at(day: date) -> datetime:
    """When a day has ended on Baker Island, too."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, hours=12)
