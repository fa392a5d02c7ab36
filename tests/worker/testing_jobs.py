"""Jobs that end in every way there is. `diary` is a file that each start adds a line to."""

import asyncio
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

from typing_extensions import override

from clients.errors import RequestRejectedError, ServiceUnavailableError
from jobs.kit import Cancel, Fixed, JobContext, Payload, Retry, Snooze, job

QUICKLY = Retry(attempts=3, backoff=Fixed(0.05))


class Diary(Payload):
    diary: Path

    def write(self, ctx: JobContext, text: str = "") -> list[str]:
        """Add a line; returns all lines so far."""
        with self.diary.open("a") as file:
            file.write(f"{ctx.run.attempt} {text}\n")
        return self.diary.read_text().splitlines()


class Nap(Diary):
    seconds: float


class Failing(Diary):
    succeeds_at: int = 99


class Order(Payload):
    order_id: int
    note: str = ""


@job("testing.add_line", queue="default", result_ttl=120)
async def add_line(ctx: JobContext, payload: Diary) -> dict[str, object]:
    return {"lines": len(payload.write(ctx)), "correlation_id": ctx.run.correlation_id}


@job("testing.cancel", queue="default")
async def cancel(ctx: JobContext, payload: Diary) -> None:
    payload.write(ctx)
    raise Cancel("paid already")


@job("testing.snooze_once", queue="default")
async def snooze_once(ctx: JobContext, payload: Diary) -> str:
    if len(payload.write(ctx)) == 1:
        raise Snooze(0.1, "not yet")
    return "done"


@job("testing.be_rejected", queue="default")
async def be_rejected(ctx: JobContext, payload: Diary) -> None:
    payload.write(ctx)
    raise RequestRejectedError("the address does not exist")


@job("testing.fail", queue="default", retry=QUICKLY)
async def fail(ctx: JobContext, payload: Failing) -> str:
    if len(payload.write(ctx)) < payload.succeeds_at:
        raise ValueError(f"attempt {ctx.run.attempt} went wrong")
    return "at last"


@job("testing.be_throttled", queue="default", retry=QUICKLY)
async def be_throttled(ctx: JobContext, payload: Diary) -> None:
    payload.write(ctx)
    raise ServiceUnavailableError("too many", retry_after=timedelta(hours=2))


@job("testing.run_out_of_time", queue="default", retry=QUICKLY, timeout=0.1)
async def run_out_of_time(ctx: JobContext, payload: Failing) -> str:
    if len(payload.write(ctx)) < payload.succeeds_at:
        await asyncio.sleep(60)
    return "in time"


@job("testing.raise_timeout", queue="default", retry=Retry(attempts=1))
async def raise_timeout(ctx: JobContext, payload: Diary) -> None:
    payload.write(ctx)
    raise TimeoutError("a timeout of its own")


@job("testing.exit", queue="default", retry=Retry(attempts=1))
async def exit_process(ctx: JobContext, payload: Diary) -> None:
    payload.write(ctx)
    raise SystemExit(3)


@job("testing.leak_cancellation", queue="default", retry=Retry(attempts=1))
async def leak_cancellation(ctx: JobContext, payload: Diary) -> None:
    payload.write(ctx)
    raise asyncio.CancelledError


@job("testing.nap", queue="default", timeout=120)
async def nap(ctx: JobContext, payload: Nap) -> str:
    payload.write(ctx, "begin")
    await asyncio.sleep(payload.seconds)
    payload.write(ctx, "end")
    return "rested"


@job("testing.kill_worker", queue="default")
async def kill_worker(ctx: JobContext, payload: Diary) -> None:
    payload.write(ctx)
    os.kill(os.getpid(), signal.SIGKILL)


@job("testing.offload_nap", queue="default", timeout=120)
async def offload_nap(ctx: JobContext, payload: Nap) -> int:
    """Sleeps in a process of its own, whose id goes into the diary."""
    return await ctx.offload(sleep_and_tell, payload.diary, payload.seconds)


def sleep_and_tell(diary: Path, seconds: float) -> int:
    diary.write_text(str(os.getpid()))
    time.sleep(seconds)
    return os.getpid()


@job("testing.ship_order", queue="email", idempotency_key="{order_id}", aliases=("old-ship",))
async def ship_order(ctx: JobContext, payload: Order) -> str:
    return ctx.run.key


@job("testing.pass_on", queue="default")
async def pass_on(ctx: JobContext, payload: Diary) -> str:
    enqueued = await ctx.enqueue(add_line, payload)
    return enqueued.run_id


class Oddity(Diary):
    kind: str


@job("testing.return_oddity", queue="default")
async def return_oddity(ctx: JobContext, payload: Oddity) -> object:
    """Results that no JSON can carry."""
    payload.write(ctx)
    circle: list[object] = []
    circle.append(circle)
    return {"object": object(), "bytes": b"\xff\xd8", "circle": circle}[payload.kind]


class UnspeakableError(Exception):
    @override
    def __str__(self) -> str:
        raise ValueError("no words")


@job("testing.raise_oddity", queue="default", retry=Retry(attempts=1))
async def raise_oddity(ctx: JobContext, payload: Oddity) -> None:
    """Errors whose text cannot be written down."""
    payload.write(ctx)
    raise {
        "surrogate": ValueError("no file \udcff here"),
        "nul": ValueError("a\x00b"),
        "unspeakable": UnspeakableError(),
        "reason": Cancel("not \udcff now"),
    }[payload.kind]
