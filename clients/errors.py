"""What may go wrong outside, told by what the caller can do.

ServiceError
├── ServiceUnavailableError   try again later: transport, 5xx (`retry_after` if told)
│   ├── ThrottledError        it was asked too often (429): everybody has to be slower
│   ├── AccountRefusedError   it takes nothing from us: somebody has to correct the settings
│   └── DeliveryUnknownError  it may have left the house: trying again could do it twice
└── RequestRejectedError      the same request will be refused again: trying again is of no use
    └── RecipientUnreachableError    this address or number takes none; another one may
        └── RecipientOptedOutError   it belongs to somebody who wants none any more
"""

from datetime import timedelta


class ServiceError(Exception):
    """An outside service did not do what was asked."""


class ServiceUnavailableError(ServiceError):
    """The service cannot now; the same request may succeed later."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ThrottledError(ServiceUnavailableError):
    """The service did nothing but say that it is asked too often."""


class AccountRefusedError(ServiceUnavailableError):
    """The service refuses our key or account, whatever is asked and for whomever."""


class DeliveryUnknownError(ServiceUnavailableError):
    """The connection broke after the message was handed over and before the answer came."""


class RequestRejectedError(ServiceError):
    """The service refuses this request for good (a 4xx that will not change)."""


class RecipientUnreachableError(RequestRejectedError):
    """Nothing reaches this address or number; another channel may."""


class RecipientOptedOutError(RecipientUnreachableError):
    """Whoever has this number has told the provider that they want no more."""
