"""What a disk adds to the promises of `test_object_storage`."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from pydantic import SecretStr

from clients.local_storage import LocalStorage
from clients.object_storage import (
    InvalidKeyError,
    InvalidSignatureError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)

HOUR = timedelta(hours=1)
SECRET = SecretStr("hush")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    return LocalStorage(root)


def signer(root: Path, *, now: float = 1_000_000, secret: SecretStr = SECRET) -> LocalStorage:
    return LocalStorage(root, base_url="https://files.test/", secret=secret, clock=lambda: now)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


async def test_an_object_is_a_file_one_can_look_at(storage: LocalStorage, root: Path) -> None:
    await storage.put("2026/report.txt", b"hello")

    assert (root / "2026/report.txt").read_bytes() == b"hello"
    assert files(root) == {"2026/report.txt", ".meta/2026/report.txt"}


async def test_a_file_put_there_by_hand_is_an_object(storage: LocalStorage, root: Path) -> None:
    (root / "in").mkdir(parents=True)
    (root / "in/invoice.pdf").write_bytes(b"by hand")

    assert [stored.key async for stored in storage.list("in/")] == ["in/invoice.pdf"]
    assert await storage.read("in/invoice.pdf", limit=10) == b"by hand"


@pytest.mark.parametrize("edited", [b"AFTER!", b"longer than before"])
async def test_an_edited_file_gets_a_new_digest(
    storage: LocalStorage, root: Path, edited: bytes
) -> None:
    before = await storage.put("a", b"before")
    (root / "a").write_bytes(edited)
    os.utime(root / "a", (1, 1))  # whatever the clock of this disk can tell apart

    after = await storage.head("a")

    assert after.sha256 != before.sha256
    assert after == await storage.head("a")


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"0" * 64])
async def test_a_damaged_digest_is_made_anew(
    storage: LocalStorage, root: Path, damage: bytes
) -> None:
    stored = await storage.put("a", b"content")
    (root / ".meta/a").write_bytes(damage)

    assert await storage.head("a") == stored


async def test_deleting_leaves_no_empty_folders(storage: LocalStorage, root: Path) -> None:
    await storage.put("a/b/c", b"")
    await storage.delete("a/b/c")
    await storage.put("a", b"now a file")

    assert files(root) == {"a", ".meta/a"}


async def test_an_object_cannot_be_a_folder_as_well(storage: LocalStorage, root: Path) -> None:
    await storage.put("a", b"file")
    await storage.put("folder/b", b"file")

    with pytest.raises(InvalidKeyError, match="part of this key is an object"):
        await storage.put("a/b", b"")
    for create_only in (False, True):
        with pytest.raises(InvalidKeyError, match="folder of other objects"):
            await storage.put("folder", b"", create_only=create_only)
    with pytest.raises(ObjectNotFoundError):
        await storage.head("folder")
    await storage.delete("folder")
    assert await storage.read("folder/b", limit=9) == b"file"
    assert not [name for name in files(root) if "draft" in name]


async def test_no_link_is_followed(storage: LocalStorage, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "file").symlink_to(tmp_path / "outside/secret")
    (root / "loop").symlink_to(root)

    for key in ("folder/secret", "file", "loop/a"):
        for refused in (storage.put(key, b""), storage.read(key, limit=9), storage.delete(key)):
            with pytest.raises(InvalidKeyError, match="symbolic link"):
                await refused
    assert [stored.key async for stored in storage.list()] == []
    assert (tmp_path / "outside/secret").read_bytes() == b"secret"


async def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)

    await LocalStorage(tmp_path / "link").put("a", b"")

    assert (root / "a").exists()


async def test_a_pipe_is_no_object_and_holds_nobody(storage: LocalStorage, root: Path) -> None:
    os.mkfifo(root / "pipe")

    with pytest.raises(ObjectNotFoundError):
        await storage.read("pipe", limit=1)


async def test_of_many_creators_one_wins(storage: LocalStorage) -> None:
    attempts = [storage.put("a/b", bytes([n]), create_only=True) for n in range(20)]

    ends = await asyncio.gather(*attempts, return_exceptions=True)

    assert sum(isinstance(end, ObjectExistsError) for end in ends) == 19
    assert len(await storage.read("a/b", limit=9)) == 1


async def test_puts_and_deletes_in_one_folder_do_not_disturb_each_other(
    storage: LocalStorage,
) -> None:
    async def come_and_go(number: int) -> None:
        for _ in range(20):
            await storage.put(f"a/b/{number}", b"x")
            await storage.delete(f"a/b/{number}")

    await asyncio.gather(*(come_and_go(number) for number in range(8)))

    assert [stored async for stored in storage.list()] == []


async def test_a_cancelled_put_leaves_nothing(storage: LocalStorage, root: Path) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        started.set()
        await asyncio.Event().wait()

    put = asyncio.create_task(storage.put("a", endless()))
    await started.wait()
    assert any("draft" in name for name in files(root))
    put.cancel()

    with pytest.raises(asyncio.CancelledError):
        await put
    assert files(root) == set()


async def test_old_drafts_are_swept(storage: LocalStorage, root: Path) -> None:
    await storage.put("a/b", b"")
    for name in ("old", "new"):
        (root / f"a/.draft-{name}").touch()
    os.utime(root / "a/.draft-old", (0, 0))

    assert await storage.sweep(older_than=HOUR) == 1
    assert files(root) == {"a/b", ".meta/a/b", "a/.draft-new"}


async def test_a_signed_url_opens_its_object_until_it_expires(root: Path) -> None:
    url = await signer(root).signed_url("a b/ğ?.pdf", expires_in=HOUR)

    parts = urlsplit(url)
    proof = {name: value[0] for name, value in parse_qs(parts.query).items()}
    key = unquote(parts.path).removeprefix("/files/")
    assert url.startswith("https://files.test/files/a%20b/%C4%9F%3F.pdf?expires=1003600&signature=")
    signer(root, now=1_003_599).verify(key, **proof)
    with pytest.raises(InvalidSignatureError, match="out of date"):
        signer(root, now=1_003_600).verify(key, **proof)


async def test_a_changed_url_opens_nothing(root: Path) -> None:
    url = await signer(root).signed_url("a", expires_in=HOUR)
    proof = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}

    for key, changed in (
        ("b", proof),
        ("a", proof | {"expires": "9999999999"}),
        ("a", proof | {"expires": "soon"}),
        ("a", proof | {"expires": "\udc80"}),
        ("a", proof | {"signature": ""}),
        ("a", proof | {"signature": "ğ" * 64}),
    ):
        with pytest.raises(InvalidSignatureError, match="not from us"):
            signer(root).verify(key, **changed)
    with pytest.raises(InvalidSignatureError, match="not from us"):
        signer(root, secret=SecretStr("other")).verify("a", **proof)


async def test_without_secret_or_address_nothing_is_signed(root: Path) -> None:
    with pytest.raises(StorageError, match="without a secret"):
        await LocalStorage(root, base_url="https://x").signed_url("a", expires_in=HOUR)
    with pytest.raises(StorageError, match="without a base URL"):
        await LocalStorage(root, secret=SECRET).signed_url("a", expires_in=HOUR)
