"""Templates of messages: which there are, how they look, and a tenant's own words for them."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from jobs.kit import discover
from jobs.messaging import queries
from jobs.messaging.catalogue import (
    COMMON,
    Message,
    UnknownTemplateError,
    kind_of,
    message,
    messages,
)
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.override import Override
from jobs.messaging.core.recipient import LOCALES
from jobs.messaging.previewing import problem_of
from jobs.messaging.queries import Key, Version
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited
from worker.sidecar.api.errors import ApiError, invalid, not_found
from worker.sidecar.api.operation import (
    Answered,
    Body,
    Call,
    Page,
    PageParameters,
    Parameters,
    operation,
)
from worker.sidecar.api.paging import cursor, page_of, place
from worker.sidecar.api.template_checks import check

Language = Literal["en", "tr"]
Name = Annotated[str, Field(min_length=1, max_length=100)]
_FOR_UNBOUND = "For callers that are bound to none."


class TenantQuery(Parameters):
    tenant_id: UUID | None = Field(None, description="Whose own templates are told.")


class OneTemplate(Parameters):
    name: Name


class VersionsQuery(PageParameters):
    name: Name
    language: Language
    channel: Channel
    tenant_id: UUID | None = Field(None, description=_FOR_UNBOUND)


class Which(Body):
    """`tenant_id` is for callers that are bound to none."""

    tenant_id: UUID | None = Field(None, strict=False)
    language: Language
    channel: Channel


class NewVersion(Which):
    """An SMS has a text alone; a mail a subject, and text or HTML or both. The subject may be left
    to the product's.
    """

    subject: str | None = Field(None, min_length=1, max_length=500)
    text: str | None = Field(None, min_length=1, max_length=20_000)
    html: str | None = Field(
        None, min_length=1, max_length=100_000, description="Without <html>: put into the layout."
    )


class WhichVersion(Which):
    version: int = Field(ge=1, le=queries.MOST_VERSIONS)


class ActiveVersion(Answered):
    language: str
    channel: str
    version: int


class TemplateShown(Answered):
    """`names` are what a tenant's own words may ask for; `active` its own versions in effect."""

    name: str
    kind: str
    channels: list[str]
    languages: list[str]
    names: list[str]
    active: list[ActiveVersion]


class TemplateList(Answered):
    items: list[TemplateShown]


class VersionShown(Answered):
    version: int
    subject: str | None
    text: str | None
    html: str | None
    is_active: bool
    created_at: AwareDatetime
    created_by: str


class Stored(Answered):
    version: int


class Deactivated(Answered):
    """The version that was in effect; null when the product's words were."""

    version: int | None


@operation(
    "GET",
    "/templates",
    tag="templates",
    role=Role.VIEWER,
    tenants=True,
    summary="All templates of messages, and which of them a tenant has words of its own for.",
)
async def list_templates(call: Call[TenantQuery, None]) -> TemplateList:
    tenant_id = call.tenant_id or call.parameters.tenant_id
    own = [] if tenant_id is None else await queries.active_versions(call.services.db, tenant_id)
    discover()
    known = {one.name: one for one in messages()}
    for key, _ in own:
        known.setdefault(key.name, _declared(key.name))
    return TemplateList(items=[_shown(one, own) for _, one in sorted(known.items())])


@operation(
    "GET",
    "/templates/{name}/versions",
    tag="templates",
    role=Role.VIEWER,
    tenants=True,
    errors=(404,),
    summary="A tenant's own versions of a template, the newest first.",
)
async def list_template_versions(call: Call[VersionsQuery, None]) -> Page[VersionShown]:
    asked = call.parameters
    tenant_id = tenant_of(call, asked.tenant_id)
    key = key_of(asked.name, asked.language, asked.channel)
    before = place(asked.after, int)
    rows = await queries.versions(
        call.services.db, tenant_id, key, before=before, limit=asked.limit + 1
    )
    return page_of(rows, asked.limit, _version_shown, lambda row: cursor(row.version))


@operation(
    "POST",
    "/templates/{name}/versions",
    tag="templates",
    role=Role.OPERATOR,
    tenants=True,
    action="template.store",
    status=201,
    errors=(404, 409),
    summary="Give a template a tenant's own words, from now on.",
)
async def store_template_version(call: Call[OneTemplate, NewVersion]) -> Stored:
    """They are tried with sample values first, and refused when they ask for what is not there, or
    hide the way out of mails that have one.
    """
    asked = call.body
    tenant_id = tenant_of(call, asked.tenant_id)
    key = key_of(call.parameters.name, asked.language, asked.channel)
    override = Override(version=1, subject=asked.subject, text=asked.text, html=asked.html)
    await check(call.services, tenant_id, key, override)
    try:
        async with audited(call, targets=[tenant_id, *key]) as connection:
            version = await queries.store_override(
                connection,
                tenant_id,
                key,
                override,
                by=call.principal.name,
                at=call.services.clock(),
            )
            if version is None:
                raise not_found("tenant")
    except queries.TooManyVersionsError as error:
        raise ApiError(409, "too_many", str(error)) from None
    return Stored(version=version)


@operation(
    "POST",
    "/templates/{name}/activate",
    tag="templates",
    role=Role.OPERATOR,
    tenants=True,
    action="template.activate",
    errors=(404,),
    summary="Have another version of a tenant's own words take effect.",
)
async def activate_template(call: Call[OneTemplate, WhichVersion]) -> Stored:
    """It is tried as a new one is: what was good once may lack what is asked for by now."""
    asked = call.body
    tenant_id = tenant_of(call, asked.tenant_id)
    key = key_of(call.parameters.name, asked.language, asked.channel)
    known = await queries.version(call.services.db, tenant_id, key, asked.version)
    if known is None:
        raise not_found("version")
    await check(call.services, tenant_id, key, known.override)
    async with audited(call, targets=[tenant_id, *key, asked.version]) as connection:
        if not await queries.activate(connection, tenant_id, key, asked.version):
            raise not_found("version")
    return Stored(version=asked.version)


@operation(
    "POST",
    "/templates/{name}/deactivate",
    tag="templates",
    role=Role.OPERATOR,
    tenants=True,
    action="template.deactivate",
    errors=(404,),
    summary="Go back to the product's words. The versions stay.",
)
async def deactivate_template(call: Call[OneTemplate, Which]) -> Deactivated:
    asked = call.body
    tenant_id = tenant_of(call, asked.tenant_id)
    key = key_of(call.parameters.name, asked.language, asked.channel)
    async with audited(call, targets=[tenant_id, *key]) as connection:
        if not await queries.lock_tenant(connection, tenant_id):
            raise not_found("tenant")
        version = await queries.deactivate(connection, tenant_id, key)
    return Deactivated(version=version)


def key_of(name: str, language: str, channel: Channel) -> Key:
    """Raises ApiError for a template that does not exist in that language or by that channel."""
    problem = problem_of(_declared(name), language, channel)
    if problem:
        raise invalid(problem)
    return Key(name, language, channel)


def tenant_of(call: Call[Any, Any], said: UUID | None) -> UUID:
    """Whose templates this concerns. Raises ApiError."""
    tenant_id = call.tenant_id or said
    if tenant_id is None:
        raise invalid({"tenant_id": "say whose templates"})
    if said not in (None, tenant_id):
        raise not_found("tenant")
    return tenant_id


def _declared(name: str) -> Message:
    discover()
    try:
        return message(name)
    except UnknownTemplateError:
        raise not_found("template") from None


def _shown(one: Message, own: list[tuple[Key, int]]) -> TemplateShown:
    return TemplateShown(
        name=one.name,
        kind=kind_of(one.name),
        channels=sorted(one.channels),
        languages=list(LOCALES),
        names=sorted(COMMON | one.sample(LOCALES[0]).keys()),
        active=[
            ActiveVersion(language=key.language, channel=key.channel, version=version)
            for key, version in own
            if key.name == one.name
        ],
    )


def _version_shown(one: Version) -> VersionShown:
    names = VersionShown.model_fields
    return VersionShown(**{name: getattr(one, name) for name in names})
