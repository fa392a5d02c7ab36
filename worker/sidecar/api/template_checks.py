"""A tenant's own words, tried before they are stored."""

from uuid import UUID

from clients.errors import RequestRejectedError
from jobs.kit import OffloadError
from jobs.messaging import queries
from jobs.messaging.catalogue import message
from jobs.messaging.core.override import Override
from jobs.messaging.overrides import check_override
from jobs.messaging.previewing import sample_recipient, way_out
from jobs.messaging.profile import Profile, profile_of
from jobs.messaging.queries import Key
from jobs.messaging.reading import Reader
from jobs.messaging.sandbox import OverrideError, render_bounded
from jobs.messaging.writing import common_values
from worker.sidecar.api.errors import ApiError, invalid, not_found
from worker.sidecar.api.services import Services


async def check(services: Services, tenant_id: UUID, key: Key, override: Override) -> None:
    """Raises ApiError that names subject, text or html, and says what is wrong with it."""
    declared = message(key.name)
    if not declared.is_tenants:
        raise ApiError(422, "invalid", "this message is the product's own: no tenant words it")
    profile = await profile_for(services, tenant_id)
    to = sample_recipient(tenant_id, key.language)
    link = way_out(services.links) if declared.has_way_out and key.channel == "email" else None
    values = common_values(to, profile, declared.sample(key.language), link)
    reader = Reader(key.language, to.timezone, key.channel)
    try:
        await services.offload(
            render_bounded,
            check_override,
            key.name,
            override,
            reader,
            values,
            is_open=declared.is_open,
        )
    except (OverrideError, OffloadError) as error:
        raise refusal(override, error) from None


async def profile_for(services: Services, tenant_id: UUID) -> Profile:
    """Raises ApiError for a tenant that there is not, or that is set up wrongly."""
    if await queries.profile(services.db, tenant_id) is None:
        raise not_found("tenant")
    try:
        return await profile_of(services.db, tenant_id)
    except RequestRejectedError as error:
        raise ApiError(422, "invalid", str(error)) from None


def refusal(override: Override, error: OverrideError | OffloadError) -> ApiError:
    """What is wrong with a template, beside the field in which it is."""
    if isinstance(error, OverrideError):
        return invalid({error.field: error.reason})
    field = "html" if override.html is not None else "text"
    return invalid({field: "takes too long, or too much memory"})
