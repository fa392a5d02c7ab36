"""Take a contact's next step in a sequence, by mail."""

from typing import Any

from jobs.kit import JobContext, job
from jobs.messaging.limits import MAIL_LIMITS, SENDING_RETRY
from jobs.nurture.planning import DueStep
from jobs.nurture.stepping import take_step


@job(
    "nurture.run_step",
    queue="nurture",
    timeout=120,
    retry=SENDING_RETRY,
    rate_limits=MAIL_LIMITS,
    concurrency_key="{enrolment_id}",
)
async def run_step(ctx: JobContext, payload: DueStep) -> dict[str, Any]:
    """Returns which step it was, and whether it was sent."""
    return await take_step(ctx, payload)
