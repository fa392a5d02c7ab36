"""Which messages there are: each domain declares its own, with sample values for the preview."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from jobs.messaging.core.channels import CHANNELS, Channel

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# What every template may use besides its own values.
COMMON = frozenset({"name", "tenant", "language", "unsubscribe_url"})

_declared: dict[str, "Message"] = {}
_families: dict[str, "Message"] = {}


@dataclass(frozen=True, slots=True)
class Message:
    """A kind of message. `sample(locale)` gives values as its job would, for somebody made up.

    `is_open`: a tenant's own words may also use names that only its data has.
    """

    name: str
    channels: frozenset[Channel]
    sample: Callable[[str], dict[str, Any]]
    is_open: bool = False


class UnknownTemplateError(LookupError):
    """There is no such message; the sentence names it."""


def kind_of(name: str) -> str:
    """A message's name in metrics and deliveries."""
    return name.replace("_", "-")


def declare(
    name: str,
    *,
    channels: Collection[Channel],
    sample: Callable[[str], dict[str, Any]],
    is_family: bool = False,
) -> None:
    """Make a message known. The keys of its sample are the names that a tenant's own words may use,
    besides COMMON. Raises ValueError for a name that is none, or is taken.

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
    declared[name] = Message(name, frozenset(channels), sample, is_open=is_family)


def message(name: str) -> Message:
    """Raises UnknownTemplateError."""
    if name in _declared:
        return _declared[name]
    for family in _families.values():
        if name.startswith(f"{family.name}_") and _NAME.fullmatch(name):
            return replace(family, name=name)
    raise UnknownTemplateError(f"there is no message {name!r}")


def messages() -> list[Message]:
    """All but families, by name. Import the jobs first: `jobs.kit.discover()`."""
    return [_declared[name] for name in sorted(_declared)]
