"""Jobs that end in every way there is, each of which marks its begin and its end."""

import asyncio
import os

from clients.mail import Mail
from jobs.kit import Cancel, DeliveryReceipt, Fixed, JobContext, Payload, Retry, Run, Snooze, job
from tests.chaos.marks import directory, marked

_SOON = Fixed(0.1)


class Play(Payload):
    times: int = 0
    seconds: float = 0


@job("chaos.succeed", queue="default")
async def succeed(ctx: JobContext, payload: Play) -> str:
    with marked(ctx.run):
        return "done"


@job("chaos.succeed_in_silence", queue="default", result_ttl=0)
async def succeed_in_silence(ctx: JobContext, payload: Play) -> None:
    """Nothing in Redis tells that it is over."""
    with marked(ctx.run):
        return


@job("chaos.nap", queue="default")
async def nap(ctx: JobContext, payload: Play) -> str:
    with marked(ctx.run):
        await asyncio.sleep(payload.seconds)
        return "rested"


@job("chaos.fail_first", queue="reminders", retry=Retry(attempts=4, backoff=_SOON))
async def fail_first(ctx: JobContext, payload: Play) -> str:
    with marked(ctx.run):
        if ctx.run.attempt <= payload.times:
            raise ValueError(f"attempt {ctx.run.attempt} went wrong")
        return "at last"


@job("chaos.fail_always", queue="reminders", retry=Retry(attempts=3, backoff=_SOON))
async def fail_always(ctx: JobContext, payload: Play) -> None:
    with marked(ctx.run):
        raise ValueError(f"attempt {ctx.run.attempt} went wrong")


@job("chaos.snooze", queue="nurture")
async def snooze(ctx: JobContext, payload: Play) -> str:
    with marked(ctx.run):
        if _starts(ctx.run) <= payload.times:
            raise Snooze(0.2, "not yet")
        return "awake"


@job("chaos.time_out", queue="dunning", timeout=0.5, retry=Retry(attempts=6, backoff=_SOON))
async def time_out(ctx: JobContext, payload: Play) -> str:
    """Its first attempt never ends by itself."""
    with marked(ctx.run):
        if ctx.run.attempt == 1:
            await asyncio.sleep(60)
        return "in time"


@job("chaos.cancel", queue="default")
async def cancel(ctx: JobContext, payload: Play) -> None:
    with marked(ctx.run):
        raise Cancel("nothing to do")


@job("chaos.send_mail", queue="email", retry=Retry(attempts=10, backoff=Fixed(1)))
async def send_mail(ctx: JobContext, payload: Play) -> DeliveryReceipt:
    """The recipient is the run, so the relay's receipts can be counted by run."""
    mail = Mail(
        template="chaos",
        to=f"{ctx.run.run_id}@receipts.example",
        subject="Once",
        text="This is the only one.",
        html="<p>This is the only one.</p>",
    )
    with marked(ctx.run):
        return await ctx.mailer.send(mail, key=ctx.run.key)


@job("chaos.hold", queue="default", timeout=7200)
async def hold(ctx: JobContext, payload: Play) -> str:
    """Runs until the world lets it go, or for two hours."""
    with marked(ctx.run):
        while not (directory() / "let-go").exists():
            await asyncio.sleep(0.05)
        return "let go"


def _starts(run: Run) -> int:
    """How often this run was started, this time included; an interrupted start counts as well."""
    file = directory() / "starts" / run.run_id
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, b".")
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
