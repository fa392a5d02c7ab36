"""`deskhand dead …` by filters: what it finds, changes, refuses and tells."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.worker.conftest import until
from tests.worker.ledger.records import attempt
from tests.worker.test_cli import Cli
from tests.worker.test_cli import cli as cli  # noqa: PLC0414 - a fixture is found by its name here
from tests.worker.testing_jobs import add_line, ship_order
from worker.ending import State
from worker.enqueuer import Pool
from worker.ledger import write_dead_letters
from worker.records import DeadRecord

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

TENANT = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
NOW = datetime.now(UTC)
# A process that knows the testing jobs.
_MAIN = "from tests.worker import testing_jobs; from worker.cli import main; main()"


@pytest.fixture
async def letters(db: "Db") -> list[int]:
    """Six: three orders that came too late, one that cannot be read, two of another queue."""
    payload: Any = {"diary": "d"}
    for number in range(6):
        is_order = number < 4
        last = attempt(
            f"run-{number}",
            state=State.DEAD,
            job=ship_order.name if is_order else add_line.name,
            queue="email" if is_order else "default",
            reason="rejected",
            error_type="LateError" if is_order else "ValueError",
            error_message=f"order {number} is late" if is_order else "mail ayse@anadolu.example",
            tenant_id=TENANT if is_order else None,
            ended_at=NOW - timedelta(days=number),
        )
        fields = {"order_id": "x" if number == 3 else number} if is_order else payload
        record = DeadRecord(last=last, payload=fields, raw=None, headers={"label": "a@b.example"})
        await write_dead_letters(db, [(f"{number}-0", record.to_bytes())])
    rows = await db.fetch("select dead_letter_id from dead_letters order by event_id")
    return [row["dead_letter_id"] for row in rows]


def ids_in(stdout: str) -> list[int]:
    return [json.loads(line)["dead_letter_id"] for line in stdout.splitlines()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [0, 1, 2, 3, 4, 5]),
        (("--queue", "email", "--since", "36h"), [0, 1]),
        (("--text", "LATE", "--until", "36h"), [2, 3]),
        (("--job", "old-ship"), [0, 1, 2, 3]),
        (("--error", "ValueError", "--reason", "rejected"), [4, 5]),
        (("--tenant", str(TENANT), "--dead-reason", "poison"), []),
        (("--until", "97h", "--since", "2026-01-01T12:00+03:00"), [5]),
        (("--until", "2026-01-01"), []),
        (("--limit", "2"), [0, 1]),
    ],
    ids=str,
)
async def test_a_list_follows_its_filter(
    cli: Cli, letters: list[int], options: tuple[str, ...], expected: list[int]
) -> None:
    listed = await cli("dead", "list", "--json", *options)

    assert ids_in(listed.stdout) == [letters[number] for number in expected]
    assert "a@b.example" not in listed.stdout


async def test_pages_say_how_to_go_on(cli: Cli, letters: list[int]) -> None:
    for command in ("list", "groups"):
        first = await cli("dead", command, "--limit", "1")
        place = first.stderr.strip().rpartition("--before ")[2]
        assert place

        rest = await cli("dead", command, "--before", place, "--limit", "9")

        every = await cli("dead", command, "--limit", "9")
        assert rest.stderr == ""
        assert (first.stdout + rest.stdout) == every.stdout


async def test_groups_count_alike_errors(cli: Cli, letters: list[int]) -> None:
    as_json = await cli("dead", "groups", "--json")
    lines = await cli("dead", "groups", "--since", "100h")

    first, second = (json.loads(line) for line in as_json.stdout.splitlines())
    assert (first["letters"], first["template"]) == (4, "order <n> is late")
    assert (first["example_id"], second["letters"]) == (letters[0], 2)
    assert "order <n> is late" in lines.stdout
    in_group = await cli("dead", "list", "--json", "--group", first["error_group"])
    assert ids_in(in_group.stdout) == letters[:4]


async def test_a_dry_run_counts_and_changes_nothing(
    cli: Cli, letters: list[int], db: "Db", pool: Pool
) -> None:
    before = await db.fetch("select * from dead_letters order by 1")
    orders = ("--queue", "email", "--dry-run")

    told = [
        (await cli("dead", *command, *orders)).stdout
        for command in (("replay",), ("discard", "--reason", "r"), ("purge",))
    ]
    as_json = await cli("dead", "replay", "--all", "--dry-run", "--json")

    assert told == ["4 would run again\n", "4 would be discarded\n", "4 would be purged\n"]
    assert json.loads(as_json.stdout) == {"would": 6}
    assert await db.fetch("select * from dead_letters order by 1") == before
    assert await pool.keys("arq:*") == []


async def test_a_replay_of_a_filter_tells_what_did_not_fit(
    cli: Cli, letters: list[int], db: "Db", pool: Pool
) -> None:
    done = await cli("dead", "replay", "--queue", "email")
    again = await cli("dead", "replay", "--queue", "email", "--json")

    assert done.exit_code == again.exit_code == 1
    assert done.stdout.startswith("3 replayed, 1 failed")
    assert f"{letters[3]}: the payload of testing.ship_order is not valid: order_id" in done.stderr
    failed, total = (json.loads(line) for line in again.stdout.splitlines())
    assert failed["dead_letter_id"] == letters[3]
    assert total == {"replayed": 0, "failed": 1}
    waiting = await pool.zrange("arq:queue:email", 0, -1)
    assert set(waiting) == {f"replay:{one}".encode() for one in letters[:3]}


async def test_ids_are_handled_one_by_one_and_the_wrong_ones_are_told(
    cli: Cli, letters: list[int], pool: Pool
) -> None:
    first, second, *_ = letters

    mixed = await cli("dead", "replay", "404", str(first))
    gone = await cli("dead", "discard", str(first), str(second), "--reason", "r")

    assert mixed.stdout == f"{first} runs again as replay:{first}\n"
    assert "404: there is no dead letter 404" in mixed.stderr
    assert gone.stdout == f"{second} discarded\n"
    assert mixed.exit_code == gone.exit_code == 3


async def test_a_filter_is_discarded_with_its_reason(cli: Cli, letters: list[int]) -> None:
    done = await cli("dead", "discard", "--text", "is late", "--reason", "the season is over")

    assert (done.exit_code, done.stdout.split(",")[0]) == (0, "4 discarded")
    listed = await cli("dead", "list", "--status", "discarded", "--json")
    whys = {json.loads(line)["discarded_because"] for line in listed.stdout.splitlines()}
    assert (len(ids_in(listed.stdout)), whys) == (4, {"the season is over"})


async def test_a_purge_deletes_by_age_and_filter_for_good(
    cli: Cli, letters: list[int], db: "Db"
) -> None:
    await cli("dead", "discard", str(letters[5]), "--reason", "r")

    old = await cli("dead", "purge", "--older-than", "60h", "--job", ship_order.name)
    handled = await cli("dead", "purge", "--status", "discarded", "--all", "--json")

    assert old.stdout.startswith("1 purged")
    assert json.loads(handled.stdout) == {"purged": 1, "failed": 0}
    left = await db.fetch("select dead_letter_id from dead_letters order by event_id")
    assert [row[0] for row in left] == [*letters[:3], letters[4]]


@pytest.fixture
async def replaying(
    letters: list[int], database_url: str, redis_url: str, db: "Db"
) -> AsyncIterator["subprocess.Popen[str]"]:
    """A command in a process of its own that takes long, once it has replayed a letter."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it only starts it
        [sys.executable, "-c", _MAIN, "dead", "replay", "--queue", "email", "--pace", "0.2"],
        env={**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    await until(lambda: db.fetchval("select 1 from dead_letters where status = 'replayed'"))
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_stops_a_replay_and_the_same_command_goes_on(
    cli: Cli, replaying: "subprocess.Popen[str]", pool: Pool, number: signal.Signals
) -> None:
    replaying.send_signal(number)
    _, told = await asyncio.to_thread(replaying.communicate, timeout=10)

    assert replaying.returncode == 130
    assert told.endswith("stopped; the same command goes on from here\n")
    assert "Traceback" not in told
    done = await cli("dead", "replay", "--queue", "email")
    assert done.stdout.startswith("2 replayed, 1 failed") or done.stdout.startswith("3 replayed")
    assert await pool.zcard("arq:queue:email") == 3
