"""Send one template to one contact, for callers that keep their sequences themselves."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field

from clients.errors import RequestRejectedError
from jobs.kit import Cancel, JobContext, LegacyPayload, job
from jobs.messaging.core.channels import results_of
from jobs.messaging.limits import MAIL_LIMITS, SENDING_RETRY, SMS_LIMITS
from jobs.messaging.profile import profile_of
from jobs.nurture.contacts.contact import load_contacts
from jobs.nurture.core import end_reason
from jobs.nurture.sending import Wanted, send
from jobs.nurture.wording import offered_channels, with_links

_NAME = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
VariableName = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _of_sequences(template: str) -> str:
    """Templates of sequences alone: others ask for what their own jobs make sure of."""
    return template if template.startswith("nurture_") else f"nurture_{template}"


class OneOffStep(LegacyPayload):
    """`sequence_step` is the caller's own number or name of the step: with the template, and
    `occasion` where a contact goes through the same steps again, it makes the message one.
    """

    contact_id: UUID
    sequence_step: Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1, max_length=100)]
    template: Annotated[str, Field(max_length=100, pattern=_NAME), AfterValidator(_of_sequences)]
    personalization: Annotated[
        dict[VariableName, Annotated[str, Field(max_length=2000)]], AfterValidator(with_links)
    ] = Field(default_factory=dict, max_length=50)
    occasion: str = Field("", max_length=100)


@job(
    "nurture.send_step",
    queue="nurture",
    aliases=("process-nurture",),
    timeout=120,
    retry=SENDING_RETRY,
    rate_limits=MAIL_LIMITS + SMS_LIMITS,
    sensitive=("personalization",),
    exposed=True,
)
async def send_step(ctx: JobContext, payload: OneOffStep) -> dict[str, Any]:
    """By the channels that the contact prefers and agreed to. What the template asks for and
    `personalization` lacks makes it a dead letter, which names both.
    """
    profile = await profile_of(ctx.db, payload.tenant_id)
    contacts = await load_contacts(ctx.db, profile, [payload.contact_id])
    if not contacts:
        raise Cancel("there is no such contact any more")
    (contact,) = contacts
    locale = contact.recipient.locale
    if not await offered_channels(ctx.db, payload.tenant_id, payload.template, locale):
        raise RequestRejectedError(
            f"template {payload.template}: there is none of this name in {locale}"
        )
    # What they wished before counts by channel alone: they may have agreed to the other since.
    why = end_reason(contact.standing, exit_on=(), started_at=ctx.now(), replied_at=None)
    if why is not None:
        raise Cancel(why)
    wanted = Wanted(
        template=payload.template,
        channel="preferred",
        values=payload.personalization,
        key=":".join(
            ("nurture-step", str(payload.contact_id), str(payload.sequence_step), payload.template,
             payload.occasion)
        ),
        strict=True,
    )  # fmt: skip
    outcome = await send(ctx, profile, contact, wanted)
    return {
        "state": outcome.state,
        "results": results_of(outcome.results),
        "reason": outcome.reason,
    }
