"""Signed webhooks, as Standard Webhooks 1.0.0 has them (standardwebhooks.com).

    webhook-id         the same for every attempt, so that a receiver does it once
    webhook-timestamp  seconds since 1970, of this attempt
    webhook-signature  v1,<base64 of HMAC-SHA256 over id.timestamp.body>, one for each key

Nothing but a 2xx counts as taken; redirects are not followed. Errors name the host alone: in the
rest of such an address there may be a secret.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson

from clients.errors import (
    DeliveryUnknownError,
    RequestRejectedError,
    ServiceUnavailableError,
    ThrottledError,
)
from clients.handover import Before, nothing
from clients.http import retry_after

_PREFIX: Final = "whsec_"
_LEAST, _MOST = 24, 64  # bytes of a key
_PATIENCE: Final = 20.0  # seconds for a call
_GONE, _THROTTLED = 410, 429


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """`keys` sign, all of them: while one takes another's place, a receiver may know either."""

    url: str = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)
    allows_private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """`type` is a name with points, as in `notice.opened`; `at` is when it happened (aware)."""

    type: str
    at: datetime
    data: Mapping[str, Any] = field(repr=False)

    def body(self) -> bytes:
        """As it is signed and sent."""
        fields = {"type": self.type, "timestamp": self.at, "data": self.data}
        return orjson.dumps(fields, option=orjson.OPT_UTC_Z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One receiver. `is_repeatable`: it knows an event that comes twice by its id."""

    http: httpx.AsyncClient
    settings: WebhookSettings
    clock: Callable[[], datetime]
    name: str = "webhook"
    is_repeatable: bool = True
    reports: bool = False

    @property
    def place(self) -> str:
        """What may be said of the receiver: its host, and what tells it from others there."""
        digest = hashlib.sha256(self.settings.url.encode()).hexdigest()[:8]
        return f"{urlsplit(self.settings.url).hostname}#{digest}"

    async def send(self, event: WebhookEvent, *, message_id: str, before: Before = nothing) -> str:
        """Post an event; returns its id.

        Raises ServiceUnavailableError for whatever may be otherwise later (any status but 2xx and
        410), DeliveryUnknownError when no answer came, RequestRejectedError for 410, and for a host
        that is not to be written to.
        """
        await self._check_host()
        body = event.body()
        headers = {
            "content-type": "application/json",
            "user-agent": "deskhand",
            **signed(self.settings.keys, message_id, self.clock(), body),
        }
        await before()
        call = f"webhook to {urlsplit(self.settings.url).hostname}"
        try:
            # Of an answer only its head is read, however long it is.
            async with (
                asyncio.timeout(_PATIENCE),
                self.http.stream(
                    "POST",
                    self.settings.url,
                    content=body,
                    headers=headers,
                    follow_redirects=False,
                    timeout=_PATIENCE,
                ) as reply,
            ):
                _check_reply(call, reply)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            kind = type(error).__name__
            raise ServiceUnavailableError(f"{call}: no connection ({kind})") from None
        except (httpx.TransportError, TimeoutError) as error:
            raise DeliveryUnknownError(f"{call}: no answer ({type(error).__name__})") from None
        return message_id

    async def _check_host(self) -> None:
        """Raises RequestRejectedError when it leads into a private network."""
        parts = urlsplit(self.settings.url)
        host = parts.hostname or ""
        if self.settings.allows_private or is_loopback(host):
            return
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, parts.port or 443, type=socket.SOCK_STREAM
            )
        except OSError:
            return  # the call will say so; and behind a proxy only that knows
        if any(is_private(str(address[0])) for *_, address in found):
            raise RequestRejectedError(
                f"webhook to {host}: the host has a private address; "
                "ALERT_WEBHOOK_PRIVATE=true allows that"
            )


def signed(keys: tuple[bytes, ...], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers."""
    seconds = str(int(at.astimezone(UTC).timestamp()))
    content = b".".join((message_id.encode(), seconds.encode(), body))
    digests = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    signatures = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": signatures,
    }


def keys_of(text: str) -> tuple[bytes, ...]:
    """Keys as they are handed out: `whsec_` and base64 (or that alone), separated by commas.

    Raises ValueError, which shows none of it.
    """
    keys = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        try:
            key = base64.b64decode(part.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not _LEAST <= len(key) <= _MOST:
            raise ValueError(
                f"it is base64 of {_LEAST} to {_MOST} bytes, with or without {_PREFIX}: "
                "`openssl rand -base64 32` makes one"
            )
        keys.append(key)
    return tuple(keys)


def is_loopback(host: str) -> bool:
    """Does the name itself say that it is this machine?"""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def is_private(host: str) -> bool:
    """Is it an address that is not one of the open network? A name is none."""
    address = _address(host)
    return address is not None and not address.is_global


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _check_reply(call: str, reply: httpx.Response) -> None:
    if reply.is_success:
        return
    refusal = f"{call} answered {reply.status_code}"
    if reply.status_code == _GONE:
        raise RequestRejectedError(f"{refusal}: it takes no more")
    broken = ThrottledError if reply.status_code == _THROTTLED else ServiceUnavailableError
    raise broken(refusal, retry_after=retry_after(reply))
