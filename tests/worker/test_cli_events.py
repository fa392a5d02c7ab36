"""`deskhand events`: a line for each, and how it ends."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.worker.ledger.records import attempt, ended, put_together
from tests.worker.test_cli import in_process
from worker.ending import State
from worker.enqueuer import Pool


@pytest.fixture
async def told(pool: Pool) -> str:
    """The id of an entry with two events."""
    rejected = attempt("b", state=State.DEAD, reason="rejected", error_type="RequestRejectedError")
    return await put_together(pool, {b"+arq:queue:email\nx.y": b"a\x1b[2J", **ended(rejected)})


async def test_each_event_is_a_line(told: str, redis_url: str) -> None:
    code, output = await in_process("events", REDIS_URL=redis_url)

    first, second = output.splitlines()
    assert code == 0
    assert first.split()[2:] == ["added", "email", r"a\x1b[2J", "x.y"]
    assert " ".join(second.split()[2:]) == (
        "dead-lettered default b testing.add_line attempt 1 1000 ms RequestRejectedError"
    )


async def test_each_event_can_be_a_json_object(told: str, redis_url: str) -> None:
    _, output = await in_process("events", "--json", "--queue", "default", REDIS_URL=redis_url)

    event = json.loads(output)
    assert event.pop("at").endswith("+00:00")
    assert event == {
        "event_id": f"{told}:1",
        "event": "dead-lettered",
        "queue": "default",
        "run_id": "b",
        "job": "testing.add_line",
        "attempt": 1,
        "duration_ms": 1000,
        "error_type": "RequestRejectedError",
        "worker": "host:1:x",
        "crashes": None,
        "fraction": None,
        "message": None,
    }


@asynccontextmanager
async def following(*arguments: str, redis_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "events", "--follow", "--since", "1d", *arguments),
        env={"PYTHONPATH": ":".join(sys.path), "REDIS_URL": redis_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_ctrl_c_ends_following(told: str, pool: Pool, redis_url: str) -> None:
    async with following(redis_url=redis_url) as process:
        assert process.stdout is not None
        lines = [await process.stdout.readline() for _ in range(2)]
        await put_together(pool, {b">arq:queue\nw\n1": b"c"})
        lines.append(await process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, errors = await process.communicate()

    assert [line.split()[2] for line in lines] == [b"added", b"dead-lettered", b"active"]
    assert (process.returncode, rest, errors) == (0, b"", b"")


async def test_a_reader_that_has_seen_enough_ends_following(
    told: str, pool: Pool, redis_url: str
) -> None:
    async with following("--json", redis_url=redis_url) as process:
        assert process.stdout is not None
        await process.stdout.readline()
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined] # as `head` does
        for number in range(3):
            await put_together(pool, {b">arq:queue\nw\n1": str(number).encode()})
            await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            await process.wait()
        assert process.stderr is not None
        errors = await process.stderr.read()

    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize("since", ["5", "m", "1.5h", "-1d", "5 m", "٥m"])
async def test_a_wrong_time_is_said(since: str) -> None:
    code, output = await in_process("events", "--since", since)

    assert code == 2
    assert "say 90s, 5m, 2h or 1d" in output or "No such option" in output


async def test_a_redis_that_is_away_is_said() -> None:
    code, output = await in_process("events", "--follow")

    assert (code, output.startswith("a service is away: ")) == (4, True)
