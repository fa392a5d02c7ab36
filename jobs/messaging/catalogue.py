"""Which messages there are: each domain declares its own, with sample values for the preview."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from typing_extensions import Unpack

from clients.mail import Attachment
from jobs.kit import discover
from jobs.messaging.core.channels import CHANNELS, Channel
from jobs.messaging.core.invitation import Invitation

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# What every template may use besides its own values.
COMMON = frozenset({"name", "tenant", "language", "unsubscribe_url", "postal_address", "reply_to"})
MOST_SEGMENTS = 4  # of an SMS; each is paid for

_declared: dict[str, "Message"] = {}
_families: dict[str, "Message"] = {}


@dataclass(frozen=True, slots=True)
class Enclosed:
    """What goes with a mail, besides its words."""

    invitation: Invitation | None = None
    attachments: tuple[Attachment, ...] = ()


def nothing_enclosed(locale: str, tenant: str) -> Enclosed:
    """Most mails are words alone."""
    del locale, tenant
    return Enclosed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A kind of message. `sample(locale)` gives values as its job would, for somebody made up, and
    `enclosed(locale, tenant's name)` what its job would add to the mail.

    is_open         a tenant's own words may also use names that only its data has
    is_tenants      it is written in a tenant's name, who may have own words for it
    has_way_out     its mails lead to where their readers unsubscribe, and tell the sender's postal
                    address; not those that have to reach them, such as a demand for payment
    most_segments   of an SMS of it
    knows_name      its job knows what its reader is called
    family          the one that it belongs to, if a tenant made it up
    """

    name: str
    channels: frozenset[Channel]
    sample: Callable[[str], dict[str, Any]]
    enclosed: Callable[[str, str], Enclosed] = nothing_enclosed
    is_open: bool = False
    is_tenants: bool = True
    has_way_out: bool = True
    most_segments: int = MOST_SEGMENTS
    knows_name: bool = True
    family: str | None = None


class Rest(TypedDict, total=False):
    """What most messages have no need to say."""

    enclosed: Callable[[str, str], Enclosed]
    is_tenants: bool
    has_way_out: bool
    most_segments: int
    knows_name: bool


class UnknownTemplateError(LookupError):
    """There is no such message; the sentence names it."""


def kind_of(name: str) -> str:
    """A message in metrics: its name, or its family's; tenants' own names are none of theirs."""
    try:
        known = message(name)
    except UnknownTemplateError:
        return "unknown"
    return spelt(known.family or known.name)


def spelt(name: str) -> str:
    """A message's name in deliveries."""
    return name.replace("_", "-")


def kind_of_delivery(template: str) -> str:
    """As `kind_of`, of a message as deliveries name it."""
    return kind_of(template.replace("-", "_"))


def declare(
    name: str,
    *,
    channels: Collection[Channel],
    sample: Callable[[str], dict[str, Any]],
    is_family: bool = False,
    **rest: Unpack[Rest],
) -> None:
    """Make a message known. The keys of its sample are the names that a tenant's own words may use,
    besides COMMON. `rest` is as in Message. Raises ValueError for a name that is none, or is taken.

    A family is all messages whose names begin with its own and `_`: tenants make them up, with
    values that only they know.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r}: a message's name is words with _ between them")
    if not channels or not set(channels) <= set(CHANNELS):
        raise ValueError(f"{name}: channels are some of {', '.join(CHANNELS)}")
    if name in _declared or name in _families:
        raise ValueError(f"there are two messages {name!r}")
    declared = _families if is_family else _declared
    declared[name] = Message(
        name=name, channels=frozenset(channels), sample=sample, is_open=is_family, **rest
    )


def message(name: str) -> Message:
    """Raises UnknownTemplateError."""
    found = _find(name)
    if found is None:
        discover()  # whoever runs one job alone has not imported the others
        found = _find(name)
    if found is None:
        raise UnknownTemplateError(f"there is no message {name!r}")
    return found


def _find(name: str) -> Message | None:
    if name in _declared:
        return _declared[name]
    for family in _families.values():
        if name.startswith(f"{family.name}_") and _NAME.fullmatch(name):
            return replace(family, name=name, family=family.name)
    return None


def messages() -> list[Message]:
    """All but families, by name. Import the jobs first: `jobs.kit.discover()`."""
    return [_declared[name] for name in sorted(_declared)]
