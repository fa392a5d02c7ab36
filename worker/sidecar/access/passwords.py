"""Passwords as `ADMIN_USERS` holds them: `name:role:scrypt:n:r:p:salt:hash`, base64 without `=`.

No `$`, as others have it: shells and compose files would take it for a variable. It is read, too.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from hmac import compare_digest
from secrets import token_bytes
from typing import Self

from typing_extensions import override

from worker.sidecar.access.principal import Role

# What OWASP advises where Argon2 is not at hand: N = 2^17 with r = 8 takes 128 MiB, this takes 16
# and three times the work (https://cheatsheetseries.owasp.org, Password Storage: scrypt).
_N, _R, _P = 2**14, 8, 5
_MOST_MEMORY = 64 * 1024 * 1024  # bytes, also for entries made elsewhere
_SALT, _LENGTH = 16, 32  # bytes
_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_PARTS = 6
SHORTEST = 10  # characters

_SHAPE = "an entry is name:role:scrypt:n:r:p:salt:hash; `deskhand password` makes one"


@dataclass(frozen=True, slots=True)
class Scrypt:
    """A password's hash (RFC 7914)."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, password: str) -> Self:
        salt = token_bytes(_SALT)
        return cls(_N, _R, _P, salt, _hash(password, _N, _R, _P, salt))

    @classmethod
    def of_nobody(cls) -> Self:
        """One that no password fits, and takes as long to say so."""
        return cls(_N, _R, _P, token_bytes(_SALT), token_bytes(_LENGTH))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        parts = text.replace("$", ":").split(":")
        if len(parts) != _PARTS or parts[0] != "scrypt":
            raise ValueError(_SHAPE)
        n, r, p = (int(part) if re.fullmatch("[0-9]{1,9}", part) else 0 for part in parts[1:4])
        if n < 2 or n & (n - 1) or not (1 <= r <= 64 and 1 <= p <= 64):  # noqa: PLR2004 - scrypt's own bounds, and ours
            raise ValueError(_SHAPE)
        if 128 * n * r > _MOST_MEMORY:
            raise ValueError("this hash takes more than 64 MiB to check; make one with less")
        salt, digest = _decoded(parts[4]), _decoded(parts[5])
        if len(salt) < _SALT or len(digest) != _LENGTH:
            raise ValueError(_SHAPE)
        return cls(n, r, p, salt, digest)

    def fits(self, password: str) -> bool:
        """Takes a tenth of a second of one core, more or less."""
        return compare_digest(self.digest_of(password), self.digest)

    def digest_of(self, password: str) -> bytes:
        """Of another password, with the same salt and work."""
        return _hash(password, self.n, self.r, self.p, self.salt)

    @override
    def __str__(self) -> str:
        return f"scrypt:{self.n}:{self.r}:{self.p}:{_encoded(self.salt)}:{_encoded(self.digest)}"


@dataclass(frozen=True, slots=True)
class User:
    """One who signs in with name and password."""

    name: str
    role: Role
    password: Scrypt

    @classmethod
    def parse(cls, entry: str) -> Self:
        """Raises ValueError, without the entry."""
        name, _, rest = entry.partition(":")
        role, _, password = rest.partition(":")
        if not _NAME.fullmatch(name):
            raise ValueError("a name is 1 to 64 letters, digits and . _ @ + -")
        return cls(name, Role.parse(role), Scrypt.parse(password))

    @override
    def __str__(self) -> str:
        return f"{self.name}:{self.role}:{self.password}"


def users_of(text: str) -> dict[str, User]:
    """By name, from entries between commas or white space. Raises ValueError."""
    users = [User.parse(entry) for entry in re.split(r"[,\s]+", text) if entry]
    by_name = {user.name: user for user in users}
    if len(by_name) < len(users):
        raise ValueError("two entries have the same name")
    return by_name


def checked_password(password: str) -> str:
    """The same. Raises ValueError when it is too short."""
    if len(password) < SHORTEST:
        raise ValueError(f"a password has at least {SHORTEST} characters")
    return password


def _hash(password: str, n: int, r: int, p: int, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt, n=n, r=r, p=p, dklen=_LENGTH, maxmem=2 * _MOST_MEMORY,
    )  # fmt: skip


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(_SHAPE) from None
