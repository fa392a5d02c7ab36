"""`deskhand schedules`, as an operator calls it."""

import asyncio
import json

import asyncpg
import pytest
from click.testing import CliRunner, Result

from tests.conftest import MakeSettings
from tests.worker.schedules import scheduled_jobs
from worker.cli import main
from worker.schedules import declare, plans_of

EXPORT = scheduled_jobs.export_all.name


class Cli:
    def __init__(self, database_url: str, redis_url: str) -> None:
        self._env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}

    async def __call__(self, *arguments: str) -> Result:
        runner = CliRunner()
        command = ["schedules", *arguments]
        return await asyncio.to_thread(runner.invoke, main, command, env=self._env)


@pytest.fixture
async def cli(
    db: "asyncpg.Pool[asyncpg.Record]",
    make_settings: MakeSettings,
    database_url: str,
    redis_url: str,
) -> Cli:
    await declare(db, plans_of(make_settings()))
    return Cli(database_url, redis_url)


async def test_all_schedules_are_listed(cli: Cli) -> None:
    listed = await cli("--json")
    lines = (await cli()).output.splitlines()

    schedules = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len(lines) == len(schedules) >= 6
    assert [one["name"] for one in schedules] == sorted(one["name"] for one in schedules)
    (weekly,) = (line for line in lines if line.startswith("documents.find_due_reports"))
    assert "0 8 * * 1" in weekly
    assert "never ran" in weekly


async def test_one_is_shown_with_what_comes_and_what_was(cli: Cli) -> None:
    started = await cli("run", EXPORT)
    shown = (await cli("show", EXPORT)).output
    weekly = (await cli("show", "documents.find_due_reports", "--next", "3")).output

    assert started.exit_code == 0
    assert f"by cli  not over  {started.output.strip()}" in shown
    assert "At 08:00 on Monday, America/New_York; catches up: latest" in weekly
    assert weekly.count("next  ") == 3


async def test_it_runs_once_at_a_time(cli: Cli) -> None:
    first, second = await cli("run", EXPORT), await cli("run", EXPORT)

    assert first.exit_code == 0
    assert second.exit_code == 1
    assert first.output.strip() in second.output


async def test_it_is_paused_and_goes_on(cli: Cli) -> None:
    name = "documents.find_due_reports"

    assert (await cli("pause", name)).output == f"{name} is paused\n"
    assert "paused by cli" in (await cli("show", name)).output
    assert (await cli("resume", name)).output == f"{name} goes on\n"
    assert (await cli("resume", name)).output == f"{name} was not paused\n"


@pytest.mark.parametrize("command", ["show", "run", "pause", "resume"])
async def test_one_that_is_not_there_is_told_and_the_exit_code_says_so(
    cli: Cli, command: str
) -> None:
    result = await cli(command, "beat.none")

    assert result.exit_code == 3
    assert "there is no schedule 'beat.none'" in result.output
