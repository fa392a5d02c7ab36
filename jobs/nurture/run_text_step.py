"""Take a contact's next step in a sequence, where that may be an SMS.

Apart from `run_step`, so that mails to many do not wait for the turn of SMS, which are fewer.
"""

from typing import Any

from jobs.kit import JobContext, job
from jobs.messaging.limits import MAIL_LIMITS, SENDING_RETRY, SMS_LIMITS
from jobs.nurture.planning import DueStep
from jobs.nurture.stepping import take_step


@job(
    "nurture.run_text_step",
    queue="nurture",
    timeout=120,
    retry=SENDING_RETRY,
    rate_limits=MAIL_LIMITS + SMS_LIMITS,
    concurrency_key="{enrolment_id}",
)
async def run_text_step(ctx: JobContext, payload: DueStep) -> dict[str, Any]:
    """As `run_step`."""
    return await take_step(ctx, payload)
