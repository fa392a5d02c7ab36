"""Where files are kept: one interface for local disk and, later, S3, GCS and Azure.

Keys are relative paths of `/`-separated names: no `..`, no empty name, no control characters,
at most 512 characters. Nothing is ever held in memory whole unless the caller asks for bytes.
"""

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
    ) -> StoredObject: ...

    def get(self, key: str) -> AsyncIterator[bytes]: ...

    async def read(self, key: str, *, limit: int) -> bytes: ...

    async def head(self, key: str) -> StoredObject: ...

    def list(self, prefix: str = "") -> AsyncIterator[StoredObject]: ...

    async def delete(self, key: str) -> None: ...

    async def copy(self, source: str, target: str) -> StoredObject: ...

    async def signed_url(self, key: str, *, expires_in: timedelta) -> str: ...
