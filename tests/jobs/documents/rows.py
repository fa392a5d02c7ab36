"""Rows of the database for the tests of this folder."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

import asyncpg

from tests.jobs.documents.core.reports import make_notice

_COLUMNS = {"due_at": "response_due_at", "due_on": "response_due_on", "link": "ui_url"}


async def add_notice(
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant_id: UUID,
    notice_id: str,
    *,
    is_active: bool = True,
    **changes: Any,
) -> None:
    """Insert a notice; `changes` are fields of `Notice`."""
    fields = asdict(make_notice(notice_id=notice_id, **changes))
    row = {_COLUMNS.get(name, name): value for name, value in fields.items()}
    row |= {"tenant_id": tenant_id, "is_active": is_active, "content_sha256": "0" * 64}
    names = ", ".join(row)
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await db.execute(
        f"insert into opportunities ({names}) values ({places})",  # noqa: S608 - names of our own
        *row.values(),
    )


async def add_notices(db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, number: int) -> None:
    """Insert many notices at once, on the days of January 2026."""
    await db.execute(
        """
        insert into opportunities (
            tenant_id, notice_id, title, solicitation_number, notice_type, department, sub_tier,
            posted_on, response_due_at, set_aside, naics_codes, is_active,
            award_amount, award_currency, awardee_name, place_city, place_state, place_country,
            ui_url, content_sha256
        )
        select $1, md5(n::text), 'İhale no ' || n || ', "onarım" & bakım of a roof, İzmir ' || n,
               'W912-26-R-' || n, 'Solicitation', 'DEPT OF DEFENSE', 'DEPT OF THE ARMY',
               date '2026-01-01' + n % 31, timestamptz '2026-04-01 21:30Z', '8(a) Set-Aside',
               array['238160'], true, n / 100.0, 'USD', 'Öztürk İnşaat A.Ş.',
               'Lexington', 'KY', 'USA', 'https://sam.gov/opp/' || md5(n::text) || '/view', ''
        from generate_series(1, $2) as n
        """,
        tenant_id,
        number,
    )
    await db.execute("analyze opportunities")
