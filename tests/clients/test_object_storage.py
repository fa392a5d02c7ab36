"""What every storage backend promises. A new backend joins by a line in `storage`."""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from clients.local_storage import LocalStorage
from clients.object_storage import (
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    ObjectStorage,
    ObjectTooLargeError,
    StorageError,
    check_key,
    check_prefix,
)

BAD_KEYS = [
    "",
    "/etc/passwd",
    "../secret",
    "a/../../secret",
    "a/./b",
    "a//b",
    "a/",
    ".meta/a",
    "a/.draft-1",
    "..",
    "a\\..\\b",
    "C:\\windows",
    "nul\x00byte",
    "line\nbreak",
    "c1\x85control",
    "line\u2028separator",
    "half \ud800",
    "k" * 513,
    "ğ" * 128,
    "/".join(["中" * 80] * 5),
]


@pytest.fixture(params=["local"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStorage:
    backends = {
        "local": lambda: LocalStorage(
            tmp_path / "root", base_url="http://files.test", secret=SecretStr("hush")
        )
    }
    return backends[request.param]()


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def keys(storage: ObjectStorage, prefix: str = "") -> list[str]:
    return [stored.key async for stored in storage.list(prefix)]


class TestEveryStorage:
    @pytest.mark.parametrize(
        "content", [b"", b"one", b"x" * 200_000], ids=["empty", "small", "big"]
    )
    async def test_what_was_put_is_got_back(self, storage: ObjectStorage, content: bytes) -> None:
        before = datetime.now(UTC) - timedelta(seconds=5)

        stored = await storage.put("2026/rapor ğ%20?#.pdf", content)

        assert stored.key == "2026/rapor ğ%20?#.pdf"
        assert stored.size == len(content)
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        assert stored.modified_at >= before
        assert await storage.head(stored.key) == stored
        assert b"".join([chunk async for chunk in storage.get(stored.key)]) == content

    async def test_a_stream_is_put_whole_and_got_in_chunks(self, storage: ObjectStorage) -> None:
        await storage.put("a", stream(b"x" * 100_000, b"", b"y" * 100_000))

        chunks = [chunk async for chunk in storage.get("a")]

        assert b"".join(chunks) == b"x" * 100_000 + b"y" * 100_000
        assert max(map(len, chunks)) <= 64 * 1024

    async def test_a_second_put_replaces(self, storage: ObjectStorage) -> None:
        await storage.put("a", b"first")
        await storage.put("a", b"again")

        assert await storage.read("a", limit=5) == b"again"
        assert (await storage.head("a")).sha256 == hashlib.sha256(b"again").hexdigest()

    async def test_create_only_keeps_what_is_there(self, storage: ObjectStorage) -> None:
        first = await storage.put("a", b"first", create_only=True)

        with pytest.raises(ObjectExistsError):
            await storage.put("a", stream(b"other"), create_only=True)

        assert await storage.head("a") == first
        assert await keys(storage) == ["a"]

    async def test_a_stream_that_breaks_leaves_what_was_there(self, storage: ObjectStorage) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * 100_000
            raise ConnectionError

        await storage.put("a", b"before")
        for key in ("a", "b"):
            with pytest.raises(ConnectionError):
                await storage.put(key, broken())

        assert await storage.read("a", limit=100) == b"before"
        assert await keys(storage) == ["a"]

    async def test_what_is_missing_is_said(self, storage: ObjectStorage) -> None:
        with pytest.raises(ObjectNotFoundError):
            await storage.head("missing")
        with pytest.raises(ObjectNotFoundError):
            await storage.read("missing/too", limit=1)
        with pytest.raises(ObjectNotFoundError):
            await anext(storage.get("missing"))
        with pytest.raises(ObjectNotFoundError):
            await storage.copy("missing", "target")
        assert await keys(storage) == []

    async def test_a_reader_gets_no_more_than_it_allows(self, storage: ObjectStorage) -> None:
        await storage.put("a", b"12345")

        assert await storage.read("a", limit=5) == b"12345"
        with pytest.raises(ObjectTooLargeError):
            await storage.read("a", limit=4)

    async def test_deleting_twice_is_as_once(self, storage: ObjectStorage) -> None:
        await storage.put("a/b", b"")
        await storage.put("a/c", b"")

        await storage.delete("a/b")
        await storage.delete("a/b")

        assert await keys(storage) == ["a/c"]

    async def test_a_copy_stands_alone(self, storage: ObjectStorage) -> None:
        source = await storage.put("a", b"content")

        copy = await storage.copy("a", "b/a")
        await storage.delete("a")

        assert (copy.key, copy.sha256, copy.size) == ("b/a", source.sha256, source.size)
        assert await storage.read("b/a", limit=100) == b"content"

    async def test_keys_are_listed_in_their_order(self, storage: ObjectStorage) -> None:
        for key in ["a/b", "a.txt", "a-b/c", "a0", "é", "z", "a/a/a", "Z"]:
            await storage.put(key, b"")

        assert await keys(storage) == ["Z", "a-b/c", "a.txt", "a/a/a", "a/b", "a0", "z", "é"]
        assert await keys(storage, "a") == ["a-b/c", "a.txt", "a/a/a", "a/b", "a0"]
        assert await keys(storage, "a/") == ["a/a/a", "a/b"]
        assert await keys(storage, "a/a/a") == ["a/a/a"]
        assert await keys(storage, "a/x") == []

    async def test_a_list_may_be_longer_than_one_page(self, storage: ObjectStorage) -> None:
        for number in range(250):
            await storage.put(f"{number:03}", b"")

        assert await keys(storage) == [f"{number:03}" for number in range(250)]

    @pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
    async def test_a_bad_key_is_refused_everywhere(self, storage: ObjectStorage, key: str) -> None:
        for refused in (
            storage.put(key, b""),
            storage.read(key, limit=1),
            storage.head(key),
            storage.delete(key),
            storage.copy(key, "a"),
            storage.signed_url(key, expires_in=timedelta(minutes=1)),
            anext(storage.get(key)),
        ):
            with pytest.raises(InvalidKeyError):
                await refused

    async def test_a_copy_cannot_leave_the_storage(self, storage: ObjectStorage) -> None:
        await storage.put("a", b"")

        with pytest.raises(InvalidKeyError):
            await storage.copy("a", "../a")
        with pytest.raises(InvalidKeyError):
            await keys(storage, "../")

    @pytest.mark.parametrize("days", [-1, 0, 8])
    async def test_a_signed_url_is_good_for_a_week_at_most(
        self, storage: ObjectStorage, days: int
    ) -> None:
        with pytest.raises(StorageError, match="7 days"):
            await storage.signed_url("a", expires_in=timedelta(days=days))


PIECES = st.sampled_from(["a", "ç", ".", "..", "/", "/", "/a", "\\", "\x00", "~", " ", "-"])


@given(st.lists(PIECES, max_size=20).map("".join))
def test_a_key_that_passes_stays_below_its_root(key: str) -> None:
    try:
        check_key(key)
    except InvalidKeyError:
        return

    root = Path("/root/of/all")
    path = Path(f"{root}/{key}")
    assert path.is_relative_to(root)
    assert path != root
    assert path.relative_to(root).as_posix() == key
    assert not any(part.startswith(".") for part in path.relative_to(root).parts)


@given(st.text(max_size=40), st.integers(0, 40))
def test_every_beginning_of_a_key_up_to_a_slash_is_a_prefix(key: str, length: int) -> None:
    try:
        check_key(key)
    except InvalidKeyError:
        return

    assert check_prefix(key[:length]) == key[:length]
