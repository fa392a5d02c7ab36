"""The files behind LocalStorage. Everything here blocks: call it in a thread."""

import hashlib
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from io import BufferedReader, BufferedWriter
from pathlib import Path

from clients.object_storage import (
    LONGEST_KEY,
    InvalidKeyError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    check_key,
)

DRAFT_PREFIX = ".draft-"  # no key begins a name with a dot
_DIGESTS = ".meta"


class Draft:
    """An object being written, in a file beside its place; visible to nobody until published.

    A cancelled caller does not stop the thread that works for it, hence the lock: `discard` comes
    after that work, and nothing comes after `discard`.
    """

    def __init__(self, root: Path, key: str) -> None:
        self._root, self._key = root, key
        self._lock = threading.Lock()
        self._file: BufferedWriter | None = None
        self._is_over = False
        self._sha256 = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        with self._lock:
            self._opened().write(chunk)
            self._sha256.update(chunk)

    def publish(self, *, create_only: bool) -> tuple[os.stat_result, str]:
        """Put it in its place, on the disk. Raises ObjectExistsError, InvalidKeyError."""
        with self._lock:
            file = self._opened()
            file.flush()
            os.fsync(file.fileno())
            status = os.fstat(file.fileno())
            path = locate(self._root, self._key)
            try:
                _move(Path(file.name), path, create_only=create_only)
            except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
                if path.is_dir():
                    raise InvalidKeyError("this key is a folder of other objects") from error
                raise ObjectExistsError("there is an object under this key") from error
            sha256 = self._sha256.hexdigest()
            _remember(self._root, self._key, status, sha256)
            return status, sha256

    def discard(self) -> None:
        """Remove what is left of it, if anything."""
        with self._lock:
            self._is_over = True
            if self._file:
                self._file.close()
                Path(self._file.name).unlink(missing_ok=True)

    def _opened(self) -> BufferedWriter:
        if self._is_over:
            raise StorageError("this write was given up")
        self._file = self._file or _create_beside(locate(self._root, self._key))
        return self._file


def locate(root: Path, key: str) -> Path:
    """The place of an object. Raises InvalidKeyError when a symbolic link is on the way."""
    path = root
    for name in key.split("/"):
        path /= name
        if path.is_symlink():
            raise InvalidKeyError("a symbolic link is in the way of this key")
    return path


def open_object(root: Path, key: str) -> BufferedReader:
    """For reading. Raises ObjectNotFoundError, InvalidKeyError."""
    # NONBLOCK: a named pipe someone put there must not hold us.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = os.fdopen(os.open(locate(root, key), flags), "rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ObjectNotFoundError("there is no object under this key") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ObjectNotFoundError("what is under this key is no object")
    return file


def describe(root: Path, key: str) -> tuple[os.stat_result, str]:
    """Status and SHA-256. Raises ObjectNotFoundError, InvalidKeyError.

    The digest is kept in `.meta/`, to spare reading gigabytes for each listing. It counts only
    for the very file it was made of (inode, size, time of change): after a crash between the
    two writes, or when somebody edited the file by hand, it is made anew and never wrong.
    """
    with open_object(root, key) as file:
        status = os.fstat(file.fileno())
        sha256 = _recall(root, key, status)
        if not sha256:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            _remember(root, key, status, sha256)
        return status, sha256


def forget(root: Path, key: str) -> None:
    """Delete an object, if there is one, and the folders this leaves empty."""
    for path in (locate(root, key), locate(root, f"{_DIGESTS}/{key}")):
        with suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISREG(path.lstat().st_mode):
                path.unlink()
        for folder in path.parents:
            if folder == root:
                break
            with suppress(OSError):  # not empty
                folder.rmdir()


def keys_below(root: Path, prefix: str) -> Iterator[str]:
    """In the order of their UTF-8 bytes; holds the names of one folder per level at a time."""
    return _keys(root, "", prefix)


def sweep_drafts(root: Path, older_than: timedelta) -> int:
    """Remove what killed processes left half-written; how many files."""
    limit, removed = time.time() - older_than.total_seconds(), 0
    for draft in root.rglob(f"{DRAFT_PREFIX}*"):
        with suppress(FileNotFoundError):
            if draft.lstat().st_mtime < limit:
                draft.unlink()
                removed += 1
    return removed


def _keys(folder: Path, above: str, prefix: str) -> Iterator[str]:
    # A folder sorts as `name/`: that is where its keys belong between those of files.
    paths = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            path = above + entry.name
            if entry.is_dir(follow_symlinks=False):
                path += "/"
                if path.startswith(prefix) or prefix.startswith(path):
                    paths.append(path)
            elif entry.is_file(follow_symlinks=False) and path.startswith(prefix):
                paths.append(path)
    for path in sorted(paths):
        if path.endswith("/"):
            name = path[len(above) : -1]
            if not name.startswith(".") and len(path) < LONGEST_KEY:
                yield from _keys(folder / name, path, prefix)
        else:
            with suppress(InvalidKeyError):  # somebody's file, but no object
                yield check_key(path)


def _create_beside(path: Path) -> BufferedWriter:
    draft = path.with_name(DRAFT_PREFIX + secrets.token_hex(8))
    for _ in range(100):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return draft.open("xb")
        except FileNotFoundError:  # a delete found the folder empty and removed it: make it again
            continue
        except (FileExistsError, NotADirectoryError) as error:
            raise InvalidKeyError("part of this key is an object itself") from error
    raise StorageError("the folder of this key is removed as often as it is made")


def _move(draft: Path, path: Path, *, create_only: bool) -> None:
    if create_only:
        os.link(draft, path)  # unlike a rename, it fails when there is something
        draft.unlink()
    else:
        draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _fingerprint(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _recall(root: Path, key: str, status: os.stat_result) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        sha256, _, made_of = locate(root, f"{_DIGESTS}/{key}").read_text().partition(" ")
        if made_of == _fingerprint(status):
            return sha256
    return None


def _remember(root: Path, key: str, status: os.stat_result, sha256: str) -> None:
    with suppress(OSError, StorageError):  # it can be made again from the object
        path = locate(root, f"{_DIGESTS}/{key}")
        with _create_beside(path) as draft:
            draft.write(f"{sha256} {_fingerprint(status)}".encode())
        Path(draft.name).replace(path)
