"""`deskhand runs …`: what it finds, does, refuses and tells."""

import json
from typing import Any

import pytest

from tests.worker.conftest import Ledgered, StartWorker
from tests.worker.history.conftest import Remember
from tests.worker.history.conftest import remember as remember  # noqa: PLC0414 - a fixture is found by its name here
from tests.worker.history.jobs import with_a_secret
from tests.worker.ledger.records import TENANT
from tests.worker.test_cli import Cli
from tests.worker.test_cli import cli as cli  # noqa: PLC0414 - the same
from worker.ending import State
from worker.enqueuer import Pool
from worker.message import When

SECRET = {"secret_word": "xyzzy", "step": 3}
PERSONAL = {"note": "mail ayse.isik@anadolu.example", "step": 3}


@pytest.fixture
async def some(remember: Remember) -> None:
    """Four runs, the newest first: d, c, b, a."""
    for minute, name in enumerate("abcd"):
        await remember(
            run_id=name,
            minute=minute,
            state=State.DEAD if name == "b" else State.SUCCEEDED,
            queue="email" if name == "c" else "default",
            label="daily" if name == "d" else None,
            payload=PERSONAL if name == "a" else {"step": minute},
        )


def ids(stdout: str) -> str:
    return "".join(json.loads(line)["run_id"] for line in stdout.splitlines())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "dcba"),
        (("--state", "dead", "--state", "cancelled"), "b"),
        (("--queue", "email"), "c"),
        (("--job", "testing.add_line", "--label", "daily"), "d"),
        (("--tenant", str(TENANT), "--request", "request-1", "--limit", "2"), "dc"),
        (("--text", "MAIL"), "a"),
        (("--text", "AYSE"), ""),
        (("--since", "2026-03-01T12:02", "--until", "2026-03-01T12:03"), "c"),
        (("--until", "2026-01-01"), ""),
    ],
    ids=str,
)
async def test_a_list_follows_its_filter(
    cli: Cli, some: None, options: tuple[str, ...], expected: str
) -> None:
    listed = await cli("runs", "list", "--json", *options)

    assert listed.exit_code == 0, listed.output
    assert ids(listed.stdout) == expected
    assert "ayse.isik@" not in listed.output


async def test_pages_say_how_to_go_on(cli: Cli, some: None) -> None:
    every = await cli("runs", "list")
    first = await cli("runs", "list", "--limit", "3")
    place = first.stderr.strip().rpartition("--after ")[2]

    rest = await cli("runs", "list", "--after", place)

    assert first.stdout + rest.stdout == every.stdout
    assert rest.stderr == ""
    assert (await cli("runs", "list", "--queue", "sync")).stdout == "no runs\n"


async def test_what_waits_in_a_queue_is_listed(cli: Cli, pool: Pool) -> None:
    for step in range(3):
        # Those of one millisecond are in the order of their ids.
        payload = {"step": step, "secret_word": "xyzzy"}
        await pool.enqueue(with_a_secret, payload, run_id=f"run-{step}")
    options = ("--state", "waiting", "--queue", "default", "--json")

    first = await cli("runs", "list", *options, "--limit", "2")
    place = first.stderr.strip().rpartition("--after ")[2]
    rest = await cli("runs", "list", *options, "--after", place)

    lines = [json.loads(line) for line in (first.stdout + rest.stdout).splitlines()]
    assert [line["payload"]["step"] for line in lines] == [0, 1, 2]
    assert "xyzzy" not in first.output + rest.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--state", "waiting"), "--state waiting goes alone, and with --queue"),
        (("--state", "active", "--state", "dead", "--queue", "email"), "goes alone"),
        (("--state", "active", "--queue", "email", "--since", "1h"), "no states, queue, since"),
        (("--text", "ab"), "text has 3 to 200 characters"),
        (("--after", "x"), "'x' is no place in a list of runs"),
        (("--state", "active", "--queue", "email", "--after", "x"), "no place in a queue"),
        (("--state", "done"), "'done' is not one of"),
    ],
    ids=str,
)
async def test_a_wrong_option_is_told(cli: Cli, options: tuple[str, ...], says: str) -> None:
    told = await cli("runs", "list", *options)

    assert told.exit_code == 2
    assert says in told.stderr


async def test_a_run_is_shown_without_what_is_personal(cli: Cli, some: None, pool: Pool) -> None:
    run_id = (await pool.enqueue(with_a_secret, SECRET, when=When(wait_ms=60_000))).run_id

    past, live = await cli("runs", "show", "a"), await cli("runs", "show", run_id)
    plain = await cli("runs", "show", run_id, "--payload", "--json")

    assert "succeeded" in past.stdout
    assert "attempt 1: succeeded" in past.stdout
    assert "delayed" in live.stdout
    assert "ayse.isik@" not in past.output
    assert "xyzzy" not in live.output
    assert json.loads(plain.stdout)["payload"] == {"fails": False, **SECRET}
    nobody = await cli("runs", "show", "nobody")
    assert (nobody.exit_code, nobody.stderr) == (3, "nobody knows a run 'nobody'\n")


async def test_a_run_is_retried_promoted_and_deleted(
    cli: Cli, pool: Pool, start_worker: StartWorker, ledgered: Ledgered
) -> None:
    await start_worker()
    run_id = (await pool.enqueue(with_a_secret, {"step": 1}, when=When(wait_ms=3_600_000))).run_id

    promoted = await cli("runs", "promote", run_id)
    await ledgered.run(run_id, state="succeeded")
    retried = await cli("runs", "retry", run_id)
    again = retried.stdout.split()[-1]
    await ledgered.run(again, state="succeeded")
    deleted = await cli("runs", "delete", run_id, again)

    assert promoted.stdout == f"{run_id} is due now\n"
    assert retried.stdout == f"{run_id} runs again as {again}\n"
    assert deleted.stdout == f"{run_id} is forgotten\n{again} is forgotten\n"


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("promote", "nobody"), 3, "nobody waits nowhere in Redis"),
        (("retry", "nobody"), 3, "history knows no run 'nobody'"),
        (("delete", "nobody"), 3, "history knows no run 'nobody'"),
        (("promote", "waits"), 1, "waits is due already"),
        (("retry", "waits"), 1, "run waits waits: it is not over yet"),
        (("delete", "waits"), 1, "run waits waits: cancel it first"),
    ],
    ids=str,
)
async def test_what_cannot_be_done_is_told(
    cli: Cli, pool: Pool, command: tuple[Any, ...], code: int, says: str
) -> None:
    await pool.enqueue(with_a_secret, {"step": 1}, run_id="waits")

    told = await cli("runs", *command)

    assert told.exit_code == code
    assert says in told.output
