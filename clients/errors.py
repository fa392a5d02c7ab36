"""What may go wrong outside, told by what the caller can do.

ServiceError
├── ServiceUnavailableError   try again later: transport, 5xx, 429 (`retry_after` if told)
│   └── DeliveryUnknownError  it may have left the house: trying again could do it twice
└── RequestRejectedError      the same request will be refused again: trying again is of no use
"""

from datetime import timedelta


class ServiceError(Exception):
    """An outside service did not do what was asked."""


class ServiceUnavailableError(ServiceError):
    """The service cannot now; the same request may succeed later."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeliveryUnknownError(ServiceUnavailableError):
    """The connection broke after the message was handed over and before the answer came."""


class RequestRejectedError(ServiceError):
    """The service refuses this request for good (a 4xx that will not change)."""
