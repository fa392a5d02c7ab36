"""Where files are kept: one interface for local disk and, later, S3, GCS and Azure.

Keys are relative paths of `/`-separated names: no `..`, no empty name, no control characters,
at most 512 characters. Nothing is ever held in memory whole unless the caller asks for bytes.

Every backend refuses the same keys, so that what works on one works on all: a name is at most 255
bytes (local disks), a key at most 1024 (S3), and no name begins with a dot (ours, and `..`).
"""

import unicodedata
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


class StorageError(Exception):
    """Base of what storage refuses."""


class InvalidKeyError(StorageError):
    """The key could leave its place, or is no key at all."""


class ObjectNotFoundError(StorageError):
    """There is no object under this key."""


class ObjectExistsError(StorageError):
    """A create-only write found an object under this key."""


class ObjectTooLargeError(StorageError):
    """The object is larger than the reader is ready for."""


class InvalidSignatureError(StorageError):
    """A signed URL is out of date, or not from us."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """`size` in bytes; `sha256` in hex; `modified_at` is aware."""

    key: str
    size: int
    sha256: str
    modified_at: datetime


class ObjectStorage(Protocol):
    """Stream in, stream out. Raises StorageError and its kinds."""

    async def put(
        self, key: str, chunks: AsyncIterable[bytes] | bytes, *, create_only: bool = False
    ) -> StoredObject:
        """Write whole or not at all. With `create_only`, raises ObjectExistsError."""
        ...

    def get(self, key: str) -> AsyncIterator[bytes]:
        """Chunks of at most 64 KiB. Raises ObjectNotFoundError before the first."""
        ...

    async def read(self, key: str, *, limit: int) -> bytes:
        """At most `limit` bytes. Raises ObjectNotFoundError, ObjectTooLargeError."""
        ...

    async def head(self, key: str) -> StoredObject:
        """Raises ObjectNotFoundError."""
        ...

    def list(self, prefix: str = "") -> AsyncIterator[StoredObject]:
        """Objects whose key begins with `prefix`, in the order of their keys' UTF-8 bytes."""
        ...

    async def delete(self, key: str) -> None:
        """Nothing happens when there is no such object."""
        ...

    async def copy(self, source: str, target: str) -> StoredObject:
        """Replaces `target`. Raises ObjectNotFoundError."""
        ...

    async def signed_url(self, key: str, *, expires_in: timedelta) -> str:
        """Lets whoever has it read the object until then, at most 7 days. Does not look for it."""
        ...


LONGEST_KEY, LONGEST_KEY_BYTES, LONGEST_NAME_BYTES = 512, 1024, 255
LONGEST_EXPIRY = timedelta(days=7)  # S3 signs for no longer
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}  # control characters, half characters, line separators


def check_key(key: str) -> str:
    """The same key. Raises InvalidKeyError, which says what is wrong without repeating the key."""
    if not key or len(key) > LONGEST_KEY:
        raise InvalidKeyError(f"a storage key has 1 to {LONGEST_KEY} characters")
    if "\\" in key or any(unicodedata.category(character) in _CONTROLS for character in key):
        raise InvalidKeyError("a storage key has neither control characters nor backslashes")
    names = key.split("/")
    if any(not name or name.startswith(".") for name in names):
        raise InvalidKeyError(
            "a storage key is names with `/` between them, none empty or beginning with a dot"
        )
    if max(len(name.encode()) for name in names) > LONGEST_NAME_BYTES:
        raise InvalidKeyError(f"a name in a storage key has at most {LONGEST_NAME_BYTES} bytes")
    if len(key.encode()) > LONGEST_KEY_BYTES:
        raise InvalidKeyError(f"a storage key has at most {LONGEST_KEY_BYTES} bytes")
    return key


def check_prefix(prefix: str) -> str:
    """The same prefix, which is empty or how a key may begin. Raises InvalidKeyError."""
    if prefix:
        check_key(prefix + "x" if prefix.endswith("/") else prefix)
    return prefix


def check_expiry(expires_in: timedelta) -> timedelta:
    """The same time. Raises StorageError unless it is more than 0 and at most 7 days."""
    if not timedelta(0) < expires_in <= LONGEST_EXPIRY:
        raise StorageError(f"a signed URL is good for up to {LONGEST_EXPIRY.days} days")
    return expires_in
