"""Suppressions: who is not written to any more, by which channel and why."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from jobs.messaging.core.channels import Channel
from jobs.messaging.core.suppression import is_own_wish
from worker import suppressions
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited, audited_outside
from worker.sidecar.api.errors import ApiError, invalid, not_found, refusing, within
from worker.sidecar.api.operation import (
    Answer,
    Answered,
    Body,
    Call,
    NoParameters,
    Page,
    PageParameters,
    Parameters,
    operation,
)
from worker.sidecar.api.paging import cursor, page_of, place
from worker.suppressions import ConsentNeededError, Suppressed
from worker.telemetry.redaction import MASK

Address = Annotated[str, Field(min_length=1, max_length=320)]
Why = Annotated[str, Field(min_length=1, max_length=500)]


class SuppressionQuery(PageParameters):
    tenant_id: UUID | None = None
    channel: Channel | None = None
    address: Address | None = Field(
        None, description="In whichever spelling; a number with its country's code."
    )
    reason: str | None = Field(None, max_length=100, description="As in `unsubscribed`.")
    reveal: bool = Field(
        default=False, description="The addresses as they are: for admins, and audited."
    )


class OneSuppression(Parameters):
    suppression_id: int = Field(ge=1, le=2**63 - 1)


class NewSuppression(Body):
    """`tenant_id` is for callers that are bound to none."""

    tenant_id: UUID | None = Field(None, strict=False)
    channel: Channel
    address: Address = Field(description="Of a telephone: with its country's code.")
    reason: Why = Field(description="Why; kept in the audit log.")
    requested: bool = Field(
        default=False,
        description="The person asked for it: then only their consent lifts it. Else it is your"
        " own decision.",
    )


class Lifting(Body):
    """What the person said themselves takes `consented`."""

    reason: Why = Field(description="Why, and how they consented; kept in the audit log.")
    consented: bool = Field(
        default=False, description="The person has asked to be written to again."
    )


class SuppressionItem(Answered):
    """One reason for which nothing is sent there. An address may have several.

    `bounced` and `unreachable`: it takes nothing; `unsubscribed`, `group unsubscribed`, `opted
    out`, `complained`: the person said so, as `is_own_wish` tells; `blocked`: an operator did.
    The address is masked unless it is revealed.
    """

    suppression_id: int
    tenant_id: UUID
    channel: Channel
    address: str
    reason: str
    is_own_wish: bool
    created_at: AwareDatetime


class SuppressionLifted(Answered):
    """`still` are the other reasons for which nothing is sent there."""

    suppression_id: int
    still: list[str]


@operation(
    "GET",
    "/suppressions",
    tag="suppressions",
    role=Role.VIEWER,
    tenants=True,
    errors=(404,),
    summary="Who is not written to any more, newest first.",
)
async def list_suppressions(call: Call[SuppressionQuery, None]) -> Page[SuppressionItem]:
    asked = call.parameters
    call.action = "suppression.reveal" if asked.reveal else None
    if asked.reveal and call.principal.role < Role.ADMIN:
        raise ApiError(403, "forbidden", "to reveal addresses takes the role admin")
    if not asked.reveal:
        return await _page(call)
    # Which is asked for is not told there: it may be an address.
    async with audited_outside(call, call.action, targets=_whose(call)):
        return await _page(call)


@operation(
    "POST",
    "/suppressions",
    tag="suppressions",
    role=Role.OPERATOR,
    tenants=True,
    action="suppression.add",
    status=201,
    also=(200,),
    errors=(404,),
    summary="Have nothing more sent to an address.",
)
async def add_suppression(call: Call[NoParameters, NewSuppression]) -> Answer[SuppressionItem]:
    """200 when it is there already for this reason. What is being sent this moment still leaves."""
    asked = call.body
    tenant_id = call.tenant_id or asked.tenant_id
    if tenant_id is None:
        raise invalid({"tenant_id": "say who is not to write there"}, where="body")
    if asked.tenant_id not in (None, tenant_id):
        raise not_found("tenant")
    with refusing("address"):
        which = suppressions.reason_for(
            tenant_id, asked.channel, asked.address, is_requested=asked.requested
        )
    found_id = await suppressions.id_for(call.services.db, which)
    targets = [tenant_id, found_id, asked.channel]
    async with audited(call, targets=targets, reason=asked.reason) as connection:
        added = await suppressions.add(
            connection, which, suppression_id=found_id, at=call.services.clock()
        )
        if added is None:
            raise not_found("tenant")
        found, is_new = added
        call.affected = int(is_new)
    return Answer(_shown(found), 201 if is_new else 200)


@operation(
    "POST",
    "/suppressions/{suppression_id}/lift",
    tag="suppressions",
    role=Role.OPERATOR,
    tenants=True,
    action="suppression.lift",
    errors=(404, 409),
    summary="Let messages be sent there again, as far as this reason goes.",
)
async def lift_suppression(call: Call[OneSuppression, Lifting]) -> SuppressionLifted:
    """What the person said themselves takes `consented: true`: 409 without it. Providers have lists
    of their own (bounces and complaints at SendGrid, STOP at Twilio), which this does not change.
    """
    asked, wanted = call.body, call.parameters.suppression_id
    try:
        async with audited(call, reason=asked.reason) as connection:
            lifted = await suppressions.lift(
                connection, wanted, call.tenant_id, is_consented=asked.consented
            )
            if lifted is None:
                raise not_found("suppression")
            call.affected = 1
    except ConsentNeededError as error:
        raise ApiError(409, "consent_needed", str(error)) from None
    return SuppressionLifted(suppression_id=wanted, still=lifted.still)


async def _page(call: Call[SuppressionQuery, None]) -> Page[SuppressionItem]:
    asked = call.parameters
    tenant_id = call.tenant_id or asked.tenant_id
    if asked.tenant_id not in (None, tenant_id):
        raise not_found("tenant")
    async with within():
        found = await suppressions.page(
            call.services.db,
            before=place(asked.after, int),
            limit=asked.limit + 1,
            tenant_id=tenant_id,
            channel=asked.channel,
            addresses=None
            if asked.address is None
            else suppressions.spellings_of(asked.channel, asked.address),
            reason=asked.reason,
        )
    return page_of(
        found,
        asked.limit,
        lambda one: _shown(one, is_revealed=asked.reveal),
        lambda last: cursor(last.suppression_id),
    )


def _whose(call: Call[SuppressionQuery, None]) -> list[Any]:
    tenant_id = call.tenant_id or call.parameters.tenant_id
    return [] if tenant_id is None else [tenant_id]


def _shown(one: Suppressed, *, is_revealed: bool = False) -> SuppressionItem:
    return SuppressionItem(
        suppression_id=one.suppression_id,
        tenant_id=one.tenant_id,
        channel=one.channel,
        address=one.address if is_revealed else MASK,
        reason=one.reason,
        is_own_wish=is_own_wish(one.reason),
        created_at=one.created_at,
    )
