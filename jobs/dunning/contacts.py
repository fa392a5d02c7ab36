"""For which contacts dunning is started, paused, resumed or stopped."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field

from jobs.kit import LegacyPayload

# What was asked for first is done first, also when it has to be tried again: whoever is resumed
# after they were paused goes on. A tenant's requests wait for each other, and for no one else's.
ORDER = "dunning:{tenant_id}"
_MOST = 1000


def _without_repeats(contact_ids: tuple[UUID, ...]) -> tuple[UUID, ...]:
    return tuple(dict.fromkeys(contact_ids))


def _none(sequence: str | None) -> None:
    """Nurture has sequences; asking for one here may be meant for it."""
    if sequence is not None:
        raise ValueError("dunning has none: leave it out")


class DunningContacts(LegacyPayload):
    """Contacts of one tenant, and why."""

    contact_ids: Annotated[tuple[UUID, ...], AfterValidator(_without_repeats)] = Field(
        min_length=1, max_length=_MOST
    )
    sequence: Annotated[str | None, AfterValidator(_none)] = None
    reason: str | None = Field(None, min_length=1, max_length=500)
