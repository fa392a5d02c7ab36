"""The benchmark's job, as jobs of deskhand are declared."""

from jobs.kit import JobContext, Payload, job
from tests.benchmarks import work


class Numbered(Payload):
    number: int


@job("bench.run_job", queue="default")
async def run_job(ctx: JobContext, payload: Numbered) -> None:
    await work.work(payload.number)
