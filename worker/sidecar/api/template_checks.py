"""A tenant's own words, tried before they are stored."""

from jobs.kit import OffloadError
from jobs.messaging.catalogue import message
from jobs.messaging.core.override import Override
from jobs.messaging.overrides import check_override
from jobs.messaging.previewing import nobodys_profile, sample_recipient
from jobs.messaging.queries import Key
from jobs.messaging.reading import Reader
from jobs.messaging.sandbox import OverrideError, render_bounded
from jobs.messaging.writing import common_values
from worker.sidecar.api.errors import ApiError, invalid
from worker.sidecar.api.services import Services


async def check(services: Services, key: Key, override: Override) -> None:
    """Raises ApiError that names subject, text or html, and says what is wrong with it."""
    declared = message(key.name)
    profile = nobodys_profile(key.language)
    to = sample_recipient(profile.tenant_id, key.language)
    link = None if key.channel == "sms" else "https://example.com/unsubscribe"
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


def refusal(override: Override, error: OverrideError | OffloadError) -> ApiError:
    """What is wrong with a template, beside the field in which it is."""
    if isinstance(error, OverrideError):
        return invalid({error.field: error.reason})
    field = "html" if override.html is not None else "text"
    return invalid({field: "takes too long, or too much memory"})
