"""The rules against other people's web pages in the browser of somebody who may use the API.

Such a page can send requests here, but not under our name: the browser says where they come from
(`Sec-Fetch-Site`, `Origin`), and by which name it found us (`Host`). We never send CORS headers, so
a page of others reads no answer either.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from worker.sidecar.access.principal import RefusedError

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORWARDED: Final = (
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP",
)  # fmt: skip


def is_loopback(host: str) -> bool:
    """Is it an address or name of this machine alone?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@lru_cache(maxsize=1000)  # most requests have one of a few
def host_of(authority: str) -> str | None:
    """The host of a `Host` header, in lower case; None when it is none."""
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port
        is_plain = parts.netloc == authority and "@" not in authority
    except ValueError:
        return None
    return (parts.hostname or None) if is_plain else None


def is_name_ours(host: str, allowed: Iterable[str]) -> bool:
    """Is it one of these, or (where one is `*.example.com`) below one?

    An address always is: who wants to lead a browser here by another name needs a name.
    """
    host = host.rstrip(".")
    return _is_address(host) or any(
        host.endswith(name[1:]) if name.startswith("*.") else host == name for name in allowed
    )


@lru_cache(maxsize=1000)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_is_direct(headers: Mapping[str, str]) -> None:
    """Raises RefusedError for what a proxy passed on: then the sender is not on this machine."""
    if any(name in headers for name in _FORWARDED):
        raise RefusedError(403, "closed", f"this came through a proxy; {HOW_TO_OPEN}")


def check_is_own_page(headers: Mapping[str, str], *, is_ambient: bool) -> None:
    """Raises RefusedError when a page of others sends this, or one cannot tell.

    `is_ambient`: the browser brings the credential (HTTP Basic), or being here is enough. Then
    what comes without word of its origin (from no browser of these years) has to carry something
    that a page could not send unasked.
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None:
        is_own = site == "same-origin"
    elif origin is not None:
        is_own = _authority(origin) == headers.get("Host", "").lower()
    else:
        is_json = headers.get("Content-Type", "").partition(";")[0].strip() == "application/json"
        is_own = not is_ambient or is_json or "X-Requested-With" in headers
    if not is_own:
        raise RefusedError(
            403,
            "cross_site",
            "a web page of another site may not do this; a program says that it is none, as in "
            "curl -H 'X-Requested-With: curl', and sends neither Origin nor Sec-Fetch-Site",
        )


def _authority(url: str) -> str | None:
    """Host and port of an origin, in lower case; None for `null` and what is none."""
    try:
        return urlsplit(url).netloc.lower() or None
    except ValueError:
        return None


HOW_TO_OPEN: Final = "set ADMIN_TOKEN, ADMIN_USERS or JWT_SECRET, and sign in with what you set"
