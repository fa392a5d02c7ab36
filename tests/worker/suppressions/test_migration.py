"""0018: what was written down before is found, and each reason is a row of its own."""

from uuid import UUID

import asyncpg

from tests.worker.test_migrate import empty_url as empty_url  # noqa: PLC0414 - a fixture
from worker.migrate import migrate, shipped

NAME = "0018_keep_each_suppression"
TENANT = UUID(int=1)


async def test_blanks_around_an_address_go_and_nobody_with_them(empty_url: str) -> None:
    known = shipped()
    until = [one.name for one in known].index(NAME)
    await migrate(empty_url, known[:until])
    connection = await asyncpg.connect(empty_url, timeout=10)
    addresses = ("a@b.example", " a@b.example", "a@b.example\t", " c@d.example ", "e@f.example")
    await connection.executemany(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'email', $2, 'unsubscribed')",
        [(TENANT, address) for address in addresses],
    )

    await migrate(empty_url, known[: until + 1])
    await connection.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'email', 'a@b.example', 'bounced')",
        TENANT,
    )

    rows = await connection.fetch(
        "select address, reason from suppressions order by address, reason"
    )
    ids = await connection.fetchval("select count(distinct suppression_id) from suppressions")
    await connection.close(timeout=5)
    assert [tuple(row) for row in rows] == [
        ("a@b.example", "bounced"),
        ("a@b.example", "unsubscribed"),
        ("c@d.example", "unsubscribed"),
        ("e@f.example", "unsubscribed"),
    ]
    assert ids == 4
