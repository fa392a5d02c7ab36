"""Which messages there are: each domain declares its own, with sample values for the preview."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from jobs.messaging.core.channels import CHANNELS, Channel

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# What every template may use besides its own values.
COMMON = frozenset({"name", "tenant", "language", "unsubscribe_url"})

_declared: dict[str, "Message"] = {}


@dataclass(frozen=True, slots=True)
class Message:
    """A kind of message. `sample(locale)` gives values as its job would, for somebody made up."""

    name: str
    channels: frozenset[Channel]
    sample: Callable[[str], dict[str, Any]]


class UnknownTemplateError(LookupError):
    """There is no such message; the sentence names it."""


def kind_of(name: str) -> str:
    """A message's name in metrics and deliveries."""
    return name.replace("_", "-")


def declare(
    name: str, *, channels: Collection[Channel], sample: Callable[[str], dict[str, Any]]
) -> None:
    """Make a message known. The keys of its sample are the names that a tenant's own words may use,
    besides COMMON. Raises ValueError for a name that is none, or is taken.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r}: a message's name is words with _ between them")
    if not channels or not set(channels) <= set(CHANNELS):
        raise ValueError(f"{name}: channels are some of {', '.join(CHANNELS)}")
    if name in _declared:
        raise ValueError(f"there are two messages {name!r}")
    _declared[name] = Message(name, frozenset(channels), sample)


def message(name: str) -> Message:
    """Raises UnknownTemplateError."""
    try:
        return _declared[name]
    except KeyError:
        raise UnknownTemplateError(f"there is no message {name!r}") from None


def messages() -> list[Message]:
    """All that have been declared, by name. Import the jobs first: `jobs.kit.discover()`."""
    return [_declared[name] for name in sorted(_declared)]
