"""Migrations: in order, once, all or nothing, however many come to apply them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.conftest import with_database
from worker.migrate import Migration, MigrationError, migrate, pending, shipped

FIRST = Migration(
    "0001_create_things", "create table things (n integer); insert into things default values"
)
SECOND = Migration("0002_add_more", "alter table things add column more text")
BROKEN = Migration("0003_break", "create table others (); select * from nowhere")


@pytest.fixture
async def empty_url(database_url: str) -> AsyncIterator[str]:
    """A database in which nothing was ever made."""
    name = "empty_" + database_url.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(database_url)
    await connection.execute(f'create database "{name}" template template0')
    yield with_database(database_url, name)
    await connection.execute(f'drop database "{name}" with (force)')
    await connection.close()


async def query(url: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def tables(url: str) -> set[str]:
    return set(await query(url, "select tablename from pg_tables where schemaname = 'public'"))


async def test_what_is_pending_is_applied_in_order_and_once(empty_url: str) -> None:
    assert await pending(empty_url, [FIRST, SECOND]) == [FIRST.name, SECOND.name]
    assert await migrate(empty_url, [FIRST]) == [FIRST.name]
    assert await pending(empty_url, [FIRST, SECOND]) == [SECOND.name]

    assert await migrate(empty_url, [FIRST, SECOND]) == [SECOND.name]

    assert await migrate(empty_url, [FIRST, SECOND]) == []
    assert await pending(empty_url, [FIRST, SECOND]) == []
    assert await query(empty_url, "select more from things") == [None]


async def test_looking_for_what_is_pending_changes_nothing(empty_url: str) -> None:
    await pending(empty_url, [FIRST])

    assert await tables(empty_url) == set()


async def test_three_migrators_at_once_apply_everything_once(empty_url: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_url, [FIRST, SECOND]) for _ in range(3)))

    assert sorted(applied, key=len) == [[], [], [FIRST.name, SECOND.name]]
    assert await query(empty_url, "select count(*) from things") == [1]


async def test_a_file_that_was_edited_afterwards_is_refused(empty_url: str) -> None:
    await migrate(empty_url, [FIRST])
    edited = Migration(FIRST.name, FIRST.sql + " -- better")

    for refused in (migrate(empty_url, [edited, SECOND]), pending(empty_url, [edited])):
        with pytest.raises(MigrationError, match=r"0001_create_things was edited.*in a new one"):
            await refused

    assert await pending(empty_url, [FIRST, SECOND]) == [SECOND.name]


async def test_a_failure_leaves_nothing_and_is_named(empty_url: str) -> None:
    with pytest.raises(MigrationError, match=r'0003_break failed: relation "nowhere"'):
        await migrate(empty_url, [FIRST, SECOND, BROKEN])

    assert await tables(empty_url) == set()
    assert await migrate(empty_url, [FIRST]) == [FIRST.name]


async def test_a_failure_keeps_what_was_there(empty_url: str) -> None:
    await migrate(empty_url, [FIRST])

    with pytest.raises(MigrationError, match="0003_break"):
        await migrate(empty_url, [FIRST, SECOND, BROKEN])

    assert await tables(empty_url) == {"things", "schema_migrations"}
    assert await pending(empty_url, [FIRST, SECOND]) == [SECOND.name]


async def test_a_newer_database_is_no_trouble_for_an_older_worker(empty_url: str) -> None:
    await migrate(empty_url, [FIRST, SECOND])

    assert await pending(empty_url, [FIRST]) == []


def test_the_shipped_files_are_numbered_without_gaps() -> None:
    names = [migration.name for migration in shipped()]

    assert [name[:5] for name in names] == [f"{n:04}_" for n in range(1, len(names) + 1)]


async def test_the_shipped_migrations_build_the_schema(empty_url: str) -> None:
    assert await migrate(empty_url) == await query(
        empty_url, "select name from schema_migrations order by name"
    )

    assert await pending(empty_url) == []
    assert {"job_runs", "job_attempts", "dead_letters", "deliveries"} <= await tables(empty_url)
