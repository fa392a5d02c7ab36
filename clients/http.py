"""How a call over HTTP ends, told in the words of `clients.errors`."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from clients.errors import (
    DeliveryUnknownError,
    RequestRejectedError,
    ServiceError,
    ServiceUnavailableError,
    ThrottledError,
)

TRANSIENT = frozenset({408, 429})  # besides 5xx
_THROTTLED = 429
_LONGEST_WAIT = 86_400.0  # seconds; a service that asks for more is asked again after a day


async def request(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    explain: Callable[[httpx.Response], str] | None = None,
    judge: Callable[[httpx.Response], ServiceError | None] | None = None,
    delivers: bool = False,
    transient: frozenset[int] = TRANSIENT,
    **options: Any,
) -> httpx.Response:
    """Make one call; `options` go to httpx. Returns a reply below 300.

    explain   reads the reasons out of a refusal; it must leave out addresses and secrets
    judge     what to raise for a refusal whose meaning only this service's client knows
    delivers  the call sends something: an answer that never came is a DeliveryUnknownError
    transient statuses below 500 that say nothing about this request

    Raises ThrottledError (429), ServiceUnavailableError (transport, `transient`, 5xx) or
    RequestRejectedError (any other refusal). The query string, where keys hide, is in neither.
    """
    call = f"{method} {httpx.URL(url).copy_with(query=None, fragment=None, userinfo=b'')}"
    try:
        reply = await http.request(method, url, **options)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise ServiceUnavailableError(f"{call}: no connection ({type(error).__name__})") from error
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        # Never left this machine. Without its cause, which may quote a header with a key.
        raise RequestRejectedError(f"{call}: not a request ({type(error).__name__})") from None
    except httpx.TransportError as error:
        broken = DeliveryUnknownError if delivers else ServiceUnavailableError
        raise broken(f"{call}: no answer ({type(error).__name__})") from error
    if reply.is_success:
        return reply
    if judge and (judged := judge(reply)):
        raise judged
    reasons = explain(reply) if explain else ""
    refusal = f"{call} answered {reply.status_code}" + (f": {reasons}" if reasons else "")
    if reply.status_code == _THROTTLED and _THROTTLED in transient:
        raise ThrottledError(refusal, retry_after=retry_after(reply))
    if reply.status_code in transient or reply.is_server_error:
        raise ServiceUnavailableError(refusal, retry_after=retry_after(reply))
    raise RequestRejectedError(refusal)


def retry_after(reply: httpx.Response) -> timedelta | None:
    """The wait a service asks for, at most a day.

    Read from Retry-After (RFC 9110 10.2.3: seconds, or a date), else from X-RateLimit-Reset (the
    instant in Unix seconds). Dates are compared with the reply's own, so clocks need not agree.
    """
    now = _instant(reply.headers.get("Date")) or time.time()
    wait = reply.headers.get("Retry-After", "").strip()
    if wait.isdecimal():
        return _bounded(float(wait))
    until = _instant(wait)
    if until is None and reply.headers.get("X-RateLimit-Reset", "").strip().isdecimal():
        until = float(reply.headers["X-RateLimit-Reset"])
    return None if until is None else _bounded(until - now)


def _bounded(seconds: float) -> timedelta:
    return timedelta(seconds=min(max(seconds, 0.0), _LONGEST_WAIT))


def _instant(http_date: str | None) -> float | None:
    try:
        instant: datetime = parsedate_to_datetime(http_date or "")
    except ValueError:
        return None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
