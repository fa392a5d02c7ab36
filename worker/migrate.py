"""Migrations: numbered SQL files, forward only, each applied once and in order.

A transaction-level advisory lock makes any number of migrators wait for each other. A file that was
applied and then edited stops the migration: write a new one instead.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

import asyncpg

# Any constant does, as long as nothing else in the database uses it.
_LOCK = 0x6465736B68616E64  # "deskhand"


class MigrationError(Exception):
    """The database and the migration files do not agree; the sentence says how."""


@dataclass(frozen=True, slots=True)
class Migration:
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations in the package, in order."""
    folder: Traversable = resources.files("worker") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(f.name.removesuffix(".sql"), f.read_text("utf-8")) for f in files]


async def pending(database_url: str, migrations: list[Migration] | None = None) -> list[str]:
    """Names of the migrations that are not applied yet. Raises MigrationError."""
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=30)
    try:
        async with connection.transaction(readonly=True):
            if not await connection.fetchval("select to_regclass('schema_migrations')"):
                return [m.name for m in migrations or shipped()]
            return [m.name for m in await _unapplied(connection, migrations or shipped())]
    finally:
        await connection.close(timeout=5)


async def migrate(database_url: str, migrations: list[Migration] | None = None) -> list[str]:
    """Apply what is pending, all or nothing; returns the names. Raises as `pending`."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(
                "create table if not exists schema_migrations ("
                " name text primary key, sha256 text not null,"
                " applied_at timestamptz not null default now())"
            )
            unapplied = await _unapplied(connection, migrations or shipped())
            for migration in unapplied:
                await _apply(connection, migration)
        return [m.name for m in unapplied]
    finally:
        await connection.close(timeout=5)


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", migration: Migration) -> None:
    try:
        await connection.execute(migration.sql)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"migration {migration.name} failed: {error}") from error
    await connection.execute(
        "insert into schema_migrations (name, sha256) values ($1, $2)",
        migration.name,
        migration.sha256,
    )


async def _unapplied(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: list[Migration]
) -> list[Migration]:
    rows = await connection.fetch("select name, sha256 from schema_migrations")
    applied = {row["name"]: row["sha256"] for row in rows}
    for migration in migrations:
        if applied.get(migration.name, migration.sha256) != migration.sha256:
            raise MigrationError(
                f"migration {migration.name} was edited after it had been applied; "
                "restore the file and put the change in a new one"
            )
    return [m for m in migrations if m.name not in applied]
