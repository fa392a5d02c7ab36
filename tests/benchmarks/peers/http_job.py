"""The benchmark's job that may be asked for over HTTP."""

from jobs.kit import JobContext, Payload, job
from tests.benchmarks import work

NAME = "bench.http"


class Numbered(Payload):
    number: int


@job(NAME, queue="default", exposed=True)
async def run(ctx: JobContext, payload: Numbered) -> None:
    del ctx
    await work.work(payload.number)
