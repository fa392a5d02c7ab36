"""How a message looks: its texts, and its HTML as a page of its own that can do nothing."""

from typing import Final
from uuid import UUID

from aiohttp import hdrs, web
from pydantic import Field

from clients.errors import RequestRejectedError
from clients.sms_text import length
from jobs.kit import OffloadError
from jobs.messaging import previewing, queries
from jobs.messaging.catalogue import message
from jobs.messaging.core.channels import Channel
from jobs.messaging.rendering import RenderingError
from jobs.messaging.sandbox import OverrideError
from worker.sidecar.access.principal import Role
from worker.sidecar.api.errors import ApiError, invalid, not_found
from worker.sidecar.api.operation import Answered, Call, Parameters, operation
from worker.sidecar.api.template_checks import profile_for, refusal
from worker.sidecar.api.templates import Language, Name, key_of

# A mail is shown as it is: without scripts, forms, and whatever it would fetch.
_HEADERS: Final = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "sandbox; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PreviewQuery(Parameters):
    """Without a tenant in the name of one that is made up."""

    name: Name
    language: Language = "en"
    channel: Channel = "email"
    tenant_id: UUID | None = Field(None, description="For callers that are bound to none.")
    version: int | None = Field(
        None, ge=1, le=queries.MOST_VERSIONS, description="Of the tenant's own; else what is sent."
    )


class SmsLength(Answered):
    """What an SMS costs; `encoding` is GSM-7 or UCS-2."""

    encoding: str
    units: int
    segments: int


class PreviewShown(Answered):
    """`sms` is null for a mail; an SMS has neither subject nor HTML."""

    template_version: str
    sender: str | None
    subject: str
    text: str
    html: str
    sms: SmsLength | None


@operation(
    "GET",
    "/templates/{name}/preview",
    tag="templates",
    role=Role.VIEWER,
    tenants=True,
    errors=(404,),
    summary="A message as it would be sent, filled for somebody made up.",
)
async def preview_template(call: Call[PreviewQuery, None]) -> PreviewShown:
    made = await _preview(call)
    if made.sms is not None:
        cost = length(made.sms.body)
        return PreviewShown(
            template_version=made.rendered.version,
            sender=made.sms.sender,
            subject="",
            text=made.sms.body,
            html="",
            sms=SmsLength(encoding=cost.encoding, units=cost.units, segments=cost.segments),
        )
    return PreviewShown(
        template_version=made.rendered.version,
        sender=made.mail.sender.name if made.mail and made.mail.sender else None,
        subject=made.rendered.subject,
        text=made.rendered.text,
        html=made.rendered.html,
        sms=None,
    )


@operation(
    "GET",
    "/templates/{name}/page",
    tag="templates",
    role=Role.VIEWER,
    tenants=True,
    errors=(404,),
    media_type="text/html",
    summary="The HTML of a mail, as a page that can neither run nor fetch anything.",
)
async def preview_template_page(call: Call[PreviewQuery, None]) -> web.StreamResponse:
    made = await _preview(call)
    if made.mail is None:
        raise invalid({"channel": "an SMS has no HTML"}, where="query")
    return web.Response(text=made.rendered.html, content_type="text/html", headers=_HEADERS)


async def _preview(call: Call[PreviewQuery, None]) -> previewing.Preview:
    asked, db = call.parameters, call.services.db
    key = key_of(asked.name, asked.language, asked.channel)
    tenant_id = call.tenant_id or asked.tenant_id
    if asked.tenant_id not in (None, tenant_id):
        raise not_found("tenant")
    override = None
    if tenant_id is None:
        if asked.version is not None:
            raise invalid({"tenant_id": "say whose version"}, where="query")
        profile = previewing.nobodys_profile(asked.language)
    else:
        profile = await profile_for(call.services, tenant_id)
        found = await queries.version(db, tenant_id, key, asked.version)
        if found is None and asked.version is not None:
            raise not_found("version")
        override = None if found is None else found.override
    try:
        return await previewing.preview(
            message(key.name),
            language=key.language,
            channel=key.channel,
            profile=profile,
            override=override,
            sender=call.services.sender,
            offload=call.services.offload,
            links=call.services.links,
            written_at=call.services.clock(),
        )
    except (OverrideError, OffloadError) as error:
        raise (refusal(override, error) if override else invalid({"name": str(error)})) from None
    except (RenderingError, RequestRejectedError) as error:
        raise ApiError(422, "invalid", str(error)) from None
