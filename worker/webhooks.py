"""What other services send us: signed, checked as it came, and then a run like any other.

    webhook(Webhook(source="sendgrid", verify=…, job="messaging.record_sendgrid_events"))

The job's payload is `jobs.kit.WebhookDelivery`, or a model built on it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from worker.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came. `url` is as the sender knows it (PUBLIC_URL), headers in lower case."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """`verify` says whether the signature fits these bytes, in constant time; it never raises.

    With `is_answered=False` what is taken is answered by 204 and nothing.
    """

    source: str
    verify: Callable[[Received, Settings], bool]
    job: str
    is_answered: bool = True


_WEBHOOKS: Final[dict[str, Webhook]] = {}


def webhook(declared: Webhook) -> Webhook:
    """Receive from this source. Raises ValueError when something else does already."""
    if declared.source in _WEBHOOKS:
        raise ValueError(f"there is a webhook {declared.source!r} already")
    _WEBHOOKS[declared.source] = declared
    return declared


def find_webhook(source: str) -> Webhook | None:
    return _WEBHOOKS.get(source)
