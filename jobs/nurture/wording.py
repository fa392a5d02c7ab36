"""The messages of sequences: those that come with the product, and those that tenants make up."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from jobs.messaging.catalogue import UnknownTemplateError, declare, message
from jobs.messaging.core.channels import CHANNELS, Channel
from jobs.messaging.core.links import link_problems
from jobs.messaging.rendering import is_built_in
from jobs.nurture.sequences import queries

if TYPE_CHECKING:
    from jobs.nurture.sequences.queries import Connection, Pool


def _sample(locale: str) -> dict[str, Any]:
    del locale  # a link has no language
    return {"booking_url": "https://book.example/visit"}


# A welcome to whoever is new, for a business that comes to people or has them come.
declare("nurture_welcome", channels=CHANNELS, sample=_sample)
declare("nurture_first_visit", channels=CHANNELS, sample=_sample)
declare("nurture_check_in", channels=CHANNELS, sample=_sample)
# And whatever tenants make up: nurture_<name>.
declare("nurture", channels=CHANNELS, sample=lambda _: {}, is_family=True)


def with_links(values: dict[str, str]) -> dict[str, str]:
    """The values, of which those are links that are called so: `booking_url`, `shop_link`.

    Raises ValueError, which names them.
    """
    problems = [f"{name} {problem}" for name, problem in link_problems(values).items()]
    if problems:
        raise ValueError("; ".join(problems))
    return values


async def offered_channels(
    db: "Pool | Connection", tenant_id: UUID, template: str, locale: str
) -> frozenset[Channel]:
    """For which channels there are words in this language: the tenant's own, or the product's."""
    own = await queries.own_channels(db, tenant_id, template, locale)
    return frozenset(
        channel for channel in CHANNELS if channel in own or is_built_in(template, locale, channel)
    )


async def problem_of(
    db: "Pool | Connection", tenant_id: UUID, template: str, given: frozenset[str]
) -> str | None:
    """Why a step cannot have this template, for a sequence that gives it these values."""
    try:
        known = message(template)
    except UnknownTemplateError:
        return "there is no such template: take one of the catalogue, or make a nurture_… one"
    if known.is_open:
        is_there = bool(await queries.own_channels(db, tenant_id, template))
        return None if is_there else "there is no such template yet: make it first"
    missing = sorted(known.sample("en").keys() - given)
    return f"it needs a value for {', '.join(missing)}" if missing else None
