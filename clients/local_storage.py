"""Storage on a local disk: each object is a file of the same name below one root directory.

People can look at what was produced, and put files there by hand. What a file system cannot do and
S3 can: `a` and `a/b` are not both objects. No symbolic link below the root is followed.
"""

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from clients.local_files import Draft, describe, forget, keys_below, open_object, sweep_drafts
from clients.object_storage import (
    InvalidSignatureError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    StorageError,
    StoredObject,
    check_expiry,
    check_key,
    check_prefix,
)

CHUNK = 64 * 1024
_LISTED_AT_ONCE = 100


class LocalStorage:
    """An ObjectStorage below `root`, made at the first write.

    `base_url` and `secret` are for signed URLs, which `GET <base_url>/files/<key>` answers after
    `verify`. `clock` gives seconds since 1970. A full disk or missing rights are an OSError.
    """

    def __init__(
        self,
        root: Path,
        *,
        base_url: str = "",
        secret: SecretStr | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._root = root.resolve()  # the root itself may be a link
        self._base_url = base_url.rstrip("/")
        self._secret = secret
        self._clock = clock

    async def put(
        self, key: str, chunks: AsyncIterable[bytes] | bytes, *, create_only: bool = False
    ) -> StoredObject:
        """Into a file beside it, which takes its place when it is on the disk."""
        draft = Draft(self._root, check_key(key))
        try:
            if isinstance(chunks, bytes):
                await asyncio.to_thread(draft.write, chunks)
            else:
                async for batch in _batches(chunks):
                    await asyncio.to_thread(draft.write, batch)
            status, sha256 = await asyncio.to_thread(draft.publish, create_only=create_only)
        finally:
            await asyncio.shield(asyncio.to_thread(draft.discard))
        return _stored(key, status, sha256)

    async def get(self, key: str) -> AsyncGenerator[bytes, None]:
        file = await asyncio.to_thread(open_object, self._root, check_key(key))
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
        finally:
            file.close()

    async def read(self, key: str, *, limit: int) -> bytes:
        return await asyncio.to_thread(self._read, check_key(key), limit)

    async def head(self, key: str) -> StoredObject:
        return await asyncio.to_thread(self._head, check_key(key))

    async def list(self, prefix: str = "") -> AsyncIterator[StoredObject]:
        objects = self._list(check_prefix(prefix))
        while batch := await asyncio.to_thread(_take, objects, _LISTED_AT_ONCE):
            for stored in batch:
                yield stored

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(forget, self._root, check_key(key))

    async def copy(self, source: str, target: str) -> StoredObject:
        async with aclosing(self.get(source)) as chunks:
            return await self.put(target, chunks)

    async def signed_url(self, key: str, *, expires_in: timedelta) -> str:
        expires = str(int(self._clock() + check_expiry(expires_in).total_seconds()))
        signature = self._sign(check_key(key), expires)
        return f"{self._base_url}/files/{quote(key)}?expires={expires}&signature={signature}"

    def verify(self, key: str, *, expires: str, signature: str) -> None:
        """Check what came with a signed URL. Raises InvalidSignatureError, InvalidKeyError."""
        wanted = self._sign(check_key(key), expires)
        if not hmac.compare_digest(wanted.encode(), signature.encode(errors="replace")):
            raise InvalidSignatureError("this link is not from us, or was changed")
        if int(expires) <= self._clock():  # a number, because we signed it
            raise InvalidSignatureError("this link is out of date; ask for a new one")

    async def sweep(self, *, older_than: timedelta) -> int:
        """Remove what killed processes left half-written; how many files. For maintenance."""
        return await asyncio.to_thread(sweep_drafts, self._root, older_than)

    def _sign(self, key: str, expires: str) -> str:
        if not self._secret or not self._secret.get_secret_value():
            raise StorageError("local storage cannot sign URLs without a secret")
        if not self._base_url:
            raise StorageError("local storage cannot sign URLs without a base URL")
        message = f"GET\n{key}\n{expires}".encode(errors="replace")
        secret = self._secret.get_secret_value().encode()
        return hmac.new(secret, message, hashlib.sha256).hexdigest()

    def _read(self, key: str, limit: int) -> bytes:
        with open_object(self._root, key) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise ObjectTooLargeError(f"the object has more than the {limit} bytes allowed here")
        return content

    def _head(self, key: str) -> StoredObject:
        return _stored(key, *describe(self._root, key))

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        for key in keys_below(self._root, prefix):
            with suppress(ObjectNotFoundError):  # deleted while we listed
                yield self._head(key)


def _stored(key: str, status: os.stat_result, sha256: str) -> StoredObject:
    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return StoredObject(key, status.st_size, sha256, modified_at)


def _take(objects: Iterator[StoredObject], count: int) -> list[StoredObject]:
    return [*islice(objects, count)]


async def _batches(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """A change of thread costs more than writing a line of CSV."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        if len(gathered) >= CHUNK:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)
