"""Each job once, declared to deskhand and registered with ARQ's own worker under the same name.

A body takes an `Attempt`, which both can give it. It writes into the test's diary what it does.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import arq
from arq.worker import Function, func

from jobs.kit import Fixed, JobContext, Payload, Retry, Snooze, job

BACKOFF = 0.3  # seconds before deskhand tries a job again; ARQ has no such thing


class Call(Payload):
    diary: Path
    seconds: float = 0
    gate: Path | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """What one attempt has written into the diary."""

    at: float
    pid: int
    attempt: int
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """`again(seconds)` is what to raise for another attempt after that time."""

    number: int
    call: Call
    again: Callable[[float], Exception]

    def write(self, text: str) -> None:
        with self.call.diary.open("a") as file:
            file.write(f"{time.time()} {os.getpid()} {self.number} {text}\n")


def lines(diary: Path) -> list[Line]:
    """All lines so far, the oldest first."""
    if not diary.exists():
        return []
    words = [line.split(" ", 3) for line in diary.read_text().splitlines()]
    return [Line(float(at), int(pid), int(attempt), text) for at, pid, attempt, text in words]


Body = Callable[[Attempt], Awaitable[Any]]
STOCK_FUNCTIONS: list[Function] = []


def both(
    name: str,
    *,
    queue: str = "default",
    attempts: int = 5,
    timeout: float = 300,
    result_ttl: float = 3600,
) -> Callable[[Body], str]:
    """Declare a body to both workers; what it decorates becomes the job's name."""

    def declare(body: Body) -> str:
        @job(
            name,
            queue=queue,
            retry=Retry(attempts=attempts, backoff=Fixed(BACKOFF, jitter=0)),
            timeout=timeout,
            result_ttl=result_ttl,
        )
        async def ours(ctx: JobContext, payload: Call) -> Any:
            return await body(Attempt(ctx.run.attempt, payload, Snooze))

        async def theirs(ctx: dict[Any, Any], data: dict[str, Any]) -> Any:
            return await body(Attempt(ctx["job_try"], Call.model_validate(data), arq.Retry))

        STOCK_FUNCTIONS.append(
            func(theirs, name=name, timeout=timeout, keep_result=result_ttl, max_tries=attempts)
        )
        return ours.name

    return declare


class DefectError(Exception):
    """What the jobs here raise."""


class TwoPartError(Exception):
    """Pickles, and cannot be loaded again: pickle calls it with one argument."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(f"{left}-{right}")


@both("defects.note", result_ttl=120)
async def note(attempt: Attempt) -> str:
    attempt.write("note")
    return attempt.call.text


@both("defects.note_in_email_queue", queue="email")
async def note_in_email_queue(attempt: Attempt) -> str:
    attempt.write("note")
    return "from email"


@both("defects.forget", result_ttl=0)
async def forget(attempt: Attempt) -> None:
    """Nobody wants its result."""
    attempt.write("begin")
    await asyncio.sleep(attempt.call.seconds)


@both("defects.nap", attempts=2)
async def nap(attempt: Attempt) -> int:
    attempt.write("begin")
    await asyncio.sleep(attempt.call.seconds)
    attempt.write("end")
    return attempt.number


@both("defects.nap_briefly")
async def nap_briefly(attempt: Attempt) -> None:
    attempt.write(attempt.call.text)
    await asyncio.sleep(0.03)


@both("defects.nap_for_hours", timeout=7200)
async def nap_for_hours(attempt: Attempt) -> None:
    attempt.write("begin")
    await asyncio.sleep(attempt.call.seconds)


@both("defects.wait_at_gate")
async def wait_at_gate(attempt: Attempt) -> int:
    """Ends when a file named after its process appears in the directory `gate`."""
    gate = attempt.call.gate
    assert gate is not None
    attempt.write("begin")
    try:
        while not (gate / str(os.getpid())).exists():
            await asyncio.sleep(0.02)
    finally:
        attempt.write("end")
    return os.getpid()


@both("defects.block")
async def block(attempt: Attempt) -> None:
    """Holds up the whole event loop."""
    attempt.write("begin")
    time.sleep(attempt.call.seconds)  # noqa: ASYNC251 - that is the point
    attempt.write("end")


@both("defects.exit")
async def exit_process(attempt: Attempt) -> None:
    attempt.write("exit")
    sys.exit(3)


@both("defects.fail_once")
async def fail_once(attempt: Attempt) -> int:
    attempt.write("begin")
    if attempt.number == 1:
        raise DefectError("at first")
    return attempt.number


@both("defects.fail", attempts=1)
async def fail(attempt: Attempt) -> None:
    raise DefectError(attempt.call.text)


@both("defects.fail_in_two_parts", attempts=1)
async def fail_in_two_parts(attempt: Attempt) -> None:
    raise TwoPartError(1, 2)


@both("defects.be_late_once", timeout=0.3)
async def be_late_once(attempt: Attempt) -> int:
    attempt.write("begin")
    if attempt.number == 1:
        await asyncio.sleep(30)
    return attempt.number


@both("defects.swallow_deadline", attempts=1, timeout=0.3)
async def swallow_deadline(attempt: Attempt) -> str:
    for _ in range(4):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.2)
    return "ran on"


@both("defects.be_late", attempts=1, timeout=0.1)
async def be_late(attempt: Attempt) -> None:
    await asyncio.sleep(30)


@both("defects.raise_timeout", attempts=1)
async def raise_timeout(attempt: Attempt) -> None:
    raise TimeoutError("of its own")


@both("defects.leak_cancellation", attempts=3)
async def leak_cancellation(attempt: Attempt) -> None:
    attempt.write("begin")
    raise asyncio.CancelledError


@both("defects.come_again")
async def come_again(attempt: Attempt) -> str:
    """Asks to be run once more, in some seconds."""
    attempt.write("begin")
    if len(lines(attempt.call.diary)) == 1:
        raise attempt.again(attempt.call.seconds)
    return "twice"


@both("defects.return_function")
async def return_function(attempt: Attempt) -> object:
    """No serializer can carry its result."""
    return lambda: None


@both("defects.tell_event_loop")
async def tell_event_loop(attempt: Attempt) -> str:
    return type(asyncio.get_running_loop()).__module__


@both("defects.return_much")
async def return_much(attempt: Attempt) -> str:
    return "x" * 2_000_000
