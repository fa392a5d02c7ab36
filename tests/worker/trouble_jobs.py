"""Jobs for the tests of what goes wrong around a worker. Each attempt leaves marks in one file."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from clients.mail import Mail
from jobs.kit import QUEUES, Fixed, Job, JobContext, Payload, Retry, job


class Marked(Payload):
    """`marks` is the file, `number` tells one run from another."""

    marks: Path
    number: int
    seconds: float = 0

    def mark(self, ctx: JobContext, event: str) -> None:
        write_mark(self.marks, ctx.run.queue, ctx.run.attempt, event, self.number)


def write_mark(path: Path, queue: str, attempt: int, event: str, number: int) -> None:
    words = (time.time(), os.getpid(), queue, attempt, event, number)
    with path.open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


@dataclass(frozen=True, slots=True)
class Mark:
    at: float
    pid: int
    queue: str
    attempt: int
    event: str
    number: int


def marks_in(path: Path) -> list[Mark]:
    """All marks so far, in order."""
    if not path.exists():
        return []
    words = [line.split() for line in path.read_text().splitlines()]
    return [
        Mark(float(at), int(pid), queue, int(attempt), event, int(number))
        for at, pid, queue, attempt, event, number in words
    ]


async def nap(ctx: JobContext, payload: Marked) -> int:
    payload.mark(ctx, "begin")
    await asyncio.sleep(payload.seconds)
    payload.mark(ctx, "end")
    return payload.number


def on_queue(queue: str) -> Job[Marked, int]:
    name = f"trouble.nap_{queue.replace('-', '_')}"
    function: Callable[[JobContext, Marked], Awaitable[int]] = nap
    return job(name, queue=queue, retry=Retry(attempts=1), timeout=120)(function)


# The same nap on each queue, by the queue's name.
NAPS = {queue: on_queue(queue) for queue in QUEUES}


@job("trouble.send_mail", queue="email", retry=Retry(attempts=3, backoff=Fixed(0.2)))
async def send_mail(ctx: JobContext, payload: Marked) -> str:
    payload.mark(ctx, "begin")
    mail = Mail(
        template="trouble",
        to=f"person-{payload.number}@tenant.example",
        subject=f"Number {payload.number}",
        text="Merhaba",
        html="<p>Merhaba</p>",
    )
    receipt = await ctx.mailer.send(mail, key=ctx.run.key)
    payload.mark(ctx, receipt.status)
    payload.mark(ctx, "end")
    return receipt.status


@job("trouble.block_loop", queue="default", retry=Retry(attempts=1))
async def block_loop(ctx: JobContext, payload: Marked) -> None:
    payload.mark(ctx, "begin")
    time.sleep(payload.seconds)  # noqa: ASYNC251 - that is the point
    payload.mark(ctx, "end")


@job("trouble.exit", queue="default", retry=Retry(attempts=1))
async def leave(ctx: JobContext, payload: Marked) -> None:
    payload.mark(ctx, "begin")
    sys.exit(3)


@job("trouble.interrupt", queue="default", retry=Retry(attempts=1))
async def interrupt(ctx: JobContext, payload: Marked) -> None:
    payload.mark(ctx, "begin")
    raise KeyboardInterrupt


@job("trouble.exit_in_task", queue="default", retry=Retry(attempts=1))
async def leave_in_task(ctx: JobContext, payload: Marked) -> None:
    """A task of its own that exits: asyncio hands that to whoever runs the loop."""

    async def child() -> None:
        sys.exit(3)

    payload.mark(ctx, "begin")
    await asyncio.create_task(child())


@job("trouble.fail", queue="default", retry=Retry(attempts=1), result_ttl=0)
async def fail(ctx: JobContext, payload: Marked) -> None:
    """Nobody keeps a result of it: its dead letter is the first thing that is written."""
    payload.mark(ctx, "begin")
    await asyncio.sleep(payload.seconds)
    raise ValueError("as expected")


@job("trouble.ask_postgres", queue="default", retry=Retry(attempts=30, backoff=Fixed(0.3)))
async def ask_postgres(ctx: JobContext, payload: Marked) -> int:
    payload.mark(ctx, "begin")
    return int(await ctx.db.fetchval("select 7"))


class Ending(Marked):
    way: str


def stay(marks: Path, number: int, seconds: float) -> None:
    """In a process of its own."""
    write_mark(marks, "-", 0, "stay", number)
    time.sleep(seconds)


async def use_everything(ctx: JobContext, payload: Ending) -> None:
    """Holds a file, a connection with a transaction, and a process, when it ends in its way."""
    with ctx.scratch() as folder:
        (folder / "draft").write_text("half of it")
        async with ctx.transaction() as connection:
            await connection.execute("select 1")
            payload.mark(ctx, "begin")
            await ctx.offload(stay, payload.marks, payload.number, payload.seconds)
            if payload.way == "raise":
                raise ValueError("as expected")
            if payload.way == "exit":
                sys.exit(3)


EVERYTHING = job("trouble.use_everything", queue="default", retry=Retry(attempts=1))(use_everything)
IN_VAIN = job("trouble.run_out_of_time", queue="default", retry=Retry(attempts=1), timeout=1.5)(
    use_everything
)
