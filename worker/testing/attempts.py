"""The worker's own runner, with an ear at each job: what it was told, returned and raised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from jobs.kit import Job, JobContext, Payload, Run
from worker.clock import utc_now
from worker.codec import loads
from worker.ending import State
from worker.engine.hands import InHand
from worker.lifespan import Resources, arq_function
from worker.runner import Policy, Runner
from worker.testing.ended import Ended


@dataclass(slots=True)
class Told:
    """What a test says about one run, and what became of it."""

    key: str | None = None
    tenant_id: UUID | None = None
    enqueued_at: datetime | None = None
    run: Run | None = None
    returned: Any = None
    error: BaseException | None = None

    def settle(self, run: Run) -> None:
        """Before the job starts."""
        self.run, self.returned, self.error = run, None, None
        run.key = self.key or run.key
        run.tenant_id = self.tenant_id or run.tenant_id
        run.enqueued_at = self.enqueued_at or run.enqueued_at


def runner_of(
    jobs: Mapping[str, Job[Any, Any]],
    resources: Resources,
    told: dict[str, Told],
    *,
    moved: Callable[[], timedelta],
) -> Runner:
    """A worker's runner for these jobs. Runs are late or unknown by a time that moves with a clock,
    and not by the clock itself: they were enqueued by the machine's.
    """
    settings = resources.settings
    return Runner(
        jobs=jobs,
        functions={job.name: arq_function(_heard(job, told)) for job in jobs.values()},
        context={"resources": resources},
        policy=Policy(
            queues=settings.queues(),
            unknown_job_grace=timedelta(seconds=settings.unknown_job_grace),
            accept_pickle=settings.arq_accept_pickle == "restricted",
        ),
        clock=lambda: utc_now() + moved(),
    )


def _heard(job: Job[Any, Any], told: dict[str, Told]) -> Job[Any, Any]:
    async def function(ctx: JobContext, payload: Payload) -> Any:
        of_run = told.setdefault(ctx.run.run_id, Told())
        of_run.settle(ctx.run)
        try:
            of_run.returned = await job.function(ctx, payload)
        except BaseException as error:
            of_run.error = error
            raise
        return of_run.returned

    return replace(job, function=function)


def ended_of(hand: InHand, told: Told) -> Ended:
    """How an attempt ended. Raises RuntimeError when the engine gave it up without an end."""
    ending, finish = hand.ending, hand.finish
    if ending is None or finish is None:
        raise RuntimeError(f"the run {hand.claim.run_id} has no end: see the log")
    result = None
    if ending.state is State.SUCCEEDED and finish.result:
        result = loads(finish.result)["r"]
    return Ended(
        run_id=hand.claim.run_id,
        job=hand.message.function if hand.message else "(unreadable)",
        attempt=hand.claim.attempt,
        state=ending.state,
        returned=told.returned,
        result=result,
        wait=ending.wait,
        reason=str(ending.reason) if ending.reason else None,
        failure=ending.failure,
        error=told.error,
        run=told.run,
    )
