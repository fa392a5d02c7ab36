"""The gate: from a request's headers to who asks, or why they are turned away.

Behind a proxy everybody has one address, so wrong passwords are what is turned away for being too
many, and not whoever has the right one: beyond FAILURES a password is still looked at, LATE times
a second for a name from an address and one at a time in all, and a wrong one is then told to wait.
Somebody who guesses thus tries one password a second, of which each has ten characters or more, and
keeps two cores busy at most. Somebody who sends more than that for one name competes with its
owner for these tries, until the owner is in. Whoever was let in once since the start has a lane of
their own, which takes the right password alone; tokens need none of this.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from secrets import token_bytes
from typing import Final, TypeVar

from pydantic import SecretStr

from worker.settings import Settings
from worker.sidecar.access.browser import (
    HOW_TO_OPEN,
    LOOPBACK_NAMES,
    SAFE_METHODS,
    check_is_direct,
    check_is_own_page,
    host_of,
    is_loopback,
    is_name_ours,
)
from worker.sidecar.access.lane import Lane
from worker.sidecar.access.passwords import Scrypt, users_of
from worker.sidecar.access.principal import ANYBODY, LOCAL, Principal, RefusedError
from worker.sidecar.access.throttle import Buckets
from worker.sidecar.access.tokens import principal_of_token
from worker.telemetry.logs import get_logger

FAILURES: Final = 5  # a minute: of a name from an address, and of an address
LATE: Final = 1.0  # passwords a second that are looked at beyond that, of a name from an address
_REMEMBERED: Final = 300.0  # seconds for which a password need not be hashed again
_MOST_REMEMBERED = 1000
_IN_LANE, _IN_LATE_LANE = 20, 10
_MINUTE = 60
K = TypeVar("K")
V = TypeVar("V")
_log = get_logger(__name__)

CLOSED = f"the API is closed: HOST is not loopback and no credential is configured; {HOW_TO_OPEN}"


class Gate:
    """Checks credentials. `clock` counts seconds and never goes back."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._admin_token = _secret(settings.admin_token)
        self._jwt_secret = _secret(settings.jwt_secret)
        self._users = users_of(_secret(settings.admin_users) or "")
        self._clock = clock
        self._names = self._own_names()
        self._key = token_bytes(32)
        self._remembered: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._nobody = Scrypt.of_nobody()
        self._lane, self._late_lane, self._known_lane = (
            Lane(most) for most in (_IN_LANE, _IN_LATE_LANE, _IN_LANE)
        )
        pace = FAILURES / _MINUTE
        self._by_name = Buckets(rate=pace, burst=FAILURES, clock=clock)
        self._by_address = Buckets(rate=pace, burst=FAILURES, clock=clock)
        self._late = Buckets(rate=LATE, burst=FAILURES, clock=clock)
        rate = settings.api_rate
        # Ten seconds' worth at once: whoever fills a queue does not do so evenly.
        self._changes = Buckets(rate=rate, burst=10 * rate, clock=clock) if rate else None

    @property
    def is_configured(self) -> bool:
        """Is there any credential to ask for?"""
        return bool(self._admin_token or self._jwt_secret or self._users)

    @property
    def is_closed(self) -> bool:
        return not (self.is_configured or is_loopback(self._settings.host))

    def warn(self) -> None:
        """Say at the start when nobody can get in."""
        if self.is_closed:
            _log.warning("API and console are closed", host=self._settings.host, hint=HOW_TO_OPEN)

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raises RefusedError when the request does not call us by our name (DNS rebinding).

        Or when nobody gets in by any name.
        """
        if self.is_closed:
            raise RefusedError(403, "closed", CLOSED)
        host = host_of(headers.get("Host", ""))
        if host is None or not is_name_ours(host, self._names):
            raise RefusedError(
                421, "wrong_host", "this name is not served: add it to ADMIN_ALLOWED_HOSTS"
            )

    def check_page(self, method: str, headers: Mapping[str, str]) -> None:
        """Raises RefusedError when a page of another site wants to change something."""
        if method not in SAFE_METHODS:
            is_bearer = headers.get("Authorization", "").lower().startswith("bearer ")
            check_is_own_page(headers, is_ambient=not is_bearer)

    async def principal(self, headers: Mapping[str, str], address: str) -> Principal:
        """Who asks from this address, where the gate is not closed. Raises RefusedError."""
        if not self.is_configured:
            check_is_direct(headers)
            return LOCAL
        scheme, _, credential = headers.get("Authorization", "").partition(" ")
        match scheme.lower():
            case "bearer":
                return self._bearer(credential.strip(), address)
            case "basic":
                return await self._basic(credential.strip(), address)
        raise self._unknown("sign in: this needs an Authorization header")

    def check_pace(self, principal: Principal, address: str) -> None:
        """Raises RefusedError when they change things faster than API_RATE says."""
        # Of those who are not known each address is somebody else.
        whose = (principal.credential, address if principal is ANYBODY else principal.name)
        wait = self._changes.take(whose) if self._changes else 0
        if wait:
            raise _too_many("so many changes a second are not allowed (API_RATE)", wait)

    def _own_names(self) -> tuple[str, ...]:
        settings = self._settings
        if not self.is_configured:
            # Whoever comes by the public name came from elsewhere, and would be let in.
            return (*LOOPBACK_NAMES, *settings.admin_allowed_hosts)
        public = (settings.public_url.host or "",) if settings.public_url else ()
        return (*LOOPBACK_NAMES, settings.host, *public, *settings.admin_allowed_hosts)

    def _bearer(self, token: str, address: str) -> Principal:
        """Only failures are counted: such tokens cannot be guessed, and others stay unaffected."""
        found = principal_of_token(
            token, admin_token=self._admin_token, jwt_secret=self._jwt_secret
        )
        if found is not None:
            return found
        wait = self._by_address.take(address)
        if wait:
            raise _too_many("too many wrong credentials from this address", wait)
        raise self._unknown("this token is wrong, or has expired")

    async def _basic(self, credential: str, address: str) -> Principal:
        digest = hmac.digest(self._key, credential.encode("utf-8", "surrogateescape"), "sha256")
        found, until = self._remembered.get(digest, (None, 0.0))
        if found is not None and self._clock() < until:
            self._remembered.move_to_end(digest)
            return found
        name, password = _name_and_password(credential)
        if found is not None:  # it was right, and so it will be
            is_right = await self._fits(self._known_lane, name, password)
        else:
            is_right = await self._is_right(name, password, address)
        user = self._users.get(name)
        if not is_right or user is None:
            raise self._unknown("name or password is wrong")
        principal = Principal(user.name, user.role, "password")
        _remember(self._remembered, digest, (principal, self._clock() + _REMEMBERED))
        _remember(self._known, _whose(name, address), None)
        return principal

    async def _is_right(self, name: str, password: str, address: str) -> bool:
        """Counts what is wrong. Raises RefusedError for that, too, when there is too much of it."""
        key = _whose(name, address)
        # Who has been here before is not counted with others at the same address (a proxy's).
        is_known = key in self._known
        buckets: list[tuple[Buckets, Hashable]] = [(self._by_name, key)]
        buckets += [] if is_known else [(self._by_address, address)]
        wait = max(bucket.wait(whose) for bucket, whose in buckets)
        lane = self._lane
        if wait:
            buckets, lane = [(self._late, key)], self._late_lane
            if self._late.wait(key):
                raise _too_many("too many wrong passwords", wait)
        for bucket, whose in buckets:  # before it is looked at, so that many at once do not slip by
            bucket.take(whose)
        if await self._fits(lane, name, password):
            for bucket, whose in buckets:
                bucket.give_back(whose)
            return True
        if wait:
            raise _too_many("too many wrong passwords", wait)
        return False

    async def _fits(self, lane: Lane, name: str, password: str) -> bool:
        """Takes as long for a name that does not exist."""
        user = self._users.get(name)
        stored = user.password if user is not None else self._nobody
        return await lane.fits(stored, password) and user is not None

    def _unknown(self, message: str) -> RefusedError:
        schemes = ["Bearer"] if self._admin_token or self._jwt_secret else []
        if self._users:
            schemes.append('Basic realm="deskhand", charset="UTF-8"')
        return RefusedError(401, "unauthorized", message, {"WWW-Authenticate": ", ".join(schemes)})


def _whose(name: str, address: str) -> tuple[str, str]:
    """Of bounded length."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest(), address


def _remember(where: OrderedDict[K, V], key: K, value: V) -> None:
    where[key] = value
    where.move_to_end(key)
    if len(where) > _MOST_REMEMBERED:
        where.popitem(last=False)


def _name_and_password(credential: str) -> tuple[str, str]:
    """As RFC 7617 has it; empty ones for what is no such credential."""
    try:
        text = base64.b64decode(credential, validate=True).decode()
    except (binascii.Error, ValueError):
        return "", ""
    name, _, password = text.partition(":")
    return name, password


def _too_many(message: str, wait: float) -> RefusedError:
    seconds = str(max(1, int(wait + 1)))
    return RefusedError(429, "too_many", message, {"Retry-After": seconds})


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
