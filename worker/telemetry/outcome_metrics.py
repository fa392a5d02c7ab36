"""What became of messages: of their words, and after they left, as their providers tell it."""

from types import MappingProxyType
from typing import Final

from prometheus_client import CollectorRegistry, Counter

_OTHER: Final = "_other"
_CHANNELS: Final = MappingProxyType({"sendgrid": "email", "twilio": "sms"})
_OUTCOMES: Final = (
    "deferred", "delivered", "bounced", "dropped", "failed", "complained", "unsubscribed",
)  # fmt: skip
_PERSONALISATIONS: Final = ("reworded", "unfit", "refused", "slow", "away")


class OutcomeMetrics:
    """May be called from any thread and never raises."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._outcomes = Counter(
            "worker_message_outcomes",
            "Mails and SMS, by what their provider told of them later; one may count twice.",
            ["channel", "provider", "outcome"],
            registry=registry,
        )
        for provider, channel in _CHANNELS.items():
            for outcome in _OUTCOMES:
                self._outcomes.labels(channel, provider, outcome)
        self._personalisations = Counter(
            "worker_personalisations",
            "Mails whose opening a model was asked for; all but `reworded` kept the template's.",
            ["outcome"],
            registry=registry,
        )
        for outcome in _PERSONALISATIONS:
            self._personalisations.labels(outcome)

    def outcome(self, *, provider: str, outcome: str) -> None:
        """Count what is news about a message."""
        known = outcome if outcome in _OUTCOMES else _OTHER
        name = provider if provider in _CHANNELS else _OTHER
        self._outcomes.labels(_CHANNELS.get(provider, _OTHER), name, known).inc()

    def personalised(self, *, outcome: str) -> None:
        """Count what became of asking a model."""
        known = outcome if outcome in _PERSONALISATIONS else _OTHER
        self._personalisations.labels(known).inc()
