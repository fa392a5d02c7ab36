"""Real servers, real signals: what `make run` and the tests stand on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis

from worker.embedded import (
    EmbeddedError,
    Services,
    services,
    start_postgres,
)
from worker.embedded_binaries import find_postgres, is_reachable
from worker.embedded_process import NOBODY, RunAs, choose_run_as

REPOSITORY = Path(__file__).parents[2]
CAN_ENTER = all(is_reachable(place) for place in (REPOSITORY, find_postgres() / "postgres"))

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
needs_readable_code = pytest.mark.skipif(
    not CAN_ENTER, reason="the checkout or its environment is closed to other users"
)

# A deskhand in a process of its own: starts both servers, says where, and waits for its end.
CHILD = """
import ctypes, json, os, sys
from pathlib import Path
from worker.embedded import services

uid, refuse_namespaces = int(sys.argv[2]), sys.argv[3] == "refuse"
if refuse_namespaces:  # what a container's seccomp does: here by a limit that ends with us
    read, write = os.pipe()
    me = os.getpid()
    if os.fork() == 0:
        os.read(read, 1)
        for file in ("uid_map", "gid_map"):
            Path(f"/proc/{me}/{file}").write_text("0 0 65536")
        os._exit(0)
    if ctypes.CDLL(None).unshare(0x10000000):
        os._exit(77)
    os.write(write, b".")
    os.wait()
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
if uid != os.geteuid():
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE, as if started by that user
with services(Path(sys.argv[1])) as running:
    print(json.dumps([running.database_url, running.redis_url]), flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Child:
    process: subprocess.Popen[bytes]
    urls: Services


@contextmanager
def deskhand(directory: Path, *, uid: int | None = None, userns: str = "allow") -> Iterator[Child]:
    arguments = [str(directory), str(os.geteuid() if uid is None else uid), userns]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"it ended with {process.wait()}"
            urls = Services(*json.loads(line))
            yield Child(process, urls)
            for place in socket_directories(urls):
                shutil.rmtree(place, ignore_errors=True)
        finally:
            process.kill()


@asynccontextmanager
async def connected(urls: Services) -> AsyncIterator[tuple[Any, Redis]]:
    connection = await asyncpg.connect(urls.database_url)
    redis = Redis.from_url(urls.redis_url)
    try:
        yield connection, redis
    finally:
        await redis.aclose()
        await connection.close()


def recorded_pids(directory: Path) -> list[int]:
    return list(json.loads((directory / "lock").read_text())["servers"])


def socket_directories(urls: Services) -> list[Path]:
    postgres = parse_qs(urlsplit(urls.database_url).query)["host"][0]
    return [Path(postgres), Path(urlsplit(urls.redis_url).path).parent]


def has_ended(pid: int) -> bool:
    """Also true of a process that only waits for its parent to notice, where one can tell."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # gone since the line above, or no Linux
        return Path("/proc/self").exists()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a finished cluster in it, so that the tests below start in a tenth of a second."""
    directory = tmp_path_factory.mktemp("var")
    start_postgres(directory, is_durable=False).stop()
    return directory


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users can reach; pytest's own is closed to them."""
    with tempfile.TemporaryDirectory(prefix="deskhand-test-") as place:
        Path(place).chmod(0o755)
        directory = Path(place, "var")
        directory.mkdir(mode=0o755)
        yield directory


async def test_both_services_answer(directory: Path) -> None:
    with services(directory) as running:
        async with connected(running) as (connection, redis):
            names = ("server_encoding", "TimeZone", "fsync", "max_connections")
            settings = [await connection.fetchval(f"SHOW {name}") for name in names]

            assert settings == ["UTF8", "UTC", "on", "200"]
            assert await connection.fetchval("SELECT upper('ağaç')") == "AĞAÇ"
            assert await redis.ping()
            assert (await redis.config_get("appendonly"))["appendonly"] == "yes"


async def test_for_tests_they_forget_faster(directory: Path) -> None:
    with services(directory, is_durable=False) as running:
        async with connected(running) as (connection, redis):
            assert await connection.fetchval("SHOW fsync") == "off"
            assert (await redis.config_get("appendonly"))["appendonly"] == "no"


async def test_data_outlives_a_clean_stop_and_a_kill(directory: Path) -> None:
    with deskhand(directory) as child:
        async with connected(child.urls) as (connection, redis):
            await connection.execute("CREATE TABLE kept (word text)")
            await connection.execute("INSERT INTO kept VALUES ('ağaç')")
            await redis.set("kept", "ağaç")

    for _ in range(2):  # the first start recovers from the kill, the second from a clean stop
        with services(directory) as running:
            async with connected(running) as (connection, redis):
                assert await connection.fetchval("SELECT word FROM kept") == "ağaç"
                assert (await redis.get("kept")).decode() == "ağaç"


def test_a_clean_stop_leaves_neither_processes_nor_sockets(directory: Path) -> None:
    lines: list[str] = []
    with services(directory, log=lines.append) as running:
        sockets = socket_directories(running)
        pids = recorded_pids(directory)

        assert [oct(place.stat().st_mode & 0o777) for place in sockets] == ["0o700"] * 2
        assert [line.split()[0] for line in lines] == ["PostgreSQL", "Valkey"]

    assert not any(place.exists() for place in sockets)
    assert all(has_ended(pid) for pid in pids)
    assert "database system is shut down" in (directory / "postgres.log").read_text()


def test_an_error_inside_the_block_stops_the_servers(directory: Path) -> None:
    pids: list[int] = []

    with suppress(KeyboardInterrupt), services(directory):
        pids += recorded_pids(directory)
        raise KeyboardInterrupt

    assert [has_ended(pid) for pid in pids] == [True, True]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_the_servers_end_with_their_parent(directory: Path, end: signal.Signals) -> None:
    with deskhand(directory) as child:
        pids = recorded_pids(directory)
        sockets = socket_directories(child.urls)
        child.process.send_signal(end)

        assert child.process.wait() == -end
        eventually(lambda: all(has_ended(pid) for pid in pids))
        with services(directory):
            assert not any(place.exists() for place in sockets)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent")
def test_a_start_waits_for_the_servers_of_a_killed_one(directory: Path) -> None:
    with deskhand(directory) as child:
        child.process.kill()
        child.process.wait()

        with services(directory) as running:
            assert running != child.urls


@needs_root
@needs_readable_code
@pytest.mark.parametrize("uid", [NOBODY, 4242], ids=["with a name", "without a name"])
async def test_an_ordinary_user_can_run_them(open_directory: Path, uid: int) -> None:
    os.chown(open_directory, uid, uid)

    with deskhand(open_directory, uid=uid) as child:
        pids = recorded_pids(open_directory)
        async with connected(child.urls) as (connection, redis):
            assert await connection.fetchval("SELECT 1") == await redis.incr("counted") == 1
        assert {(open_directory / name).stat().st_uid for name in ("postgres", "valkey")} == {uid}
        child.process.kill()
        eventually(lambda: all(has_ended(pid) for pid in pids))


@needs_root
@needs_readable_code
async def test_root_without_namespaces_runs_postgres_as_nobody(open_directory: Path) -> None:
    with deskhand(open_directory, userns="refuse") as child:
        async with connected(child.urls) as (connection, redis):
            assert await connection.fetchval("SELECT 1") == await redis.incr("counted") == 1
        assert (open_directory / "postgres").stat().st_uid == NOBODY
        assert (open_directory / "valkey").stat().st_uid == 0

    with services(open_directory):  # root with a namespace takes its files back
        assert (open_directory / "postgres").stat().st_uid == 0


@needs_root
def test_root_changes_no_modes_and_no_owners(directory: Path) -> None:
    parents = [(parent, parent.stat().st_mode) for parent in directory.parents]

    with services(directory):
        owners = {path.lstat().st_uid for path in directory.rglob("*")}

    assert [(parent, parent.stat().st_mode) for parent in directory.parents] == parents
    assert owners == {0}
    assert choose_run_as(find_postgres() / "postgres") is RunAs.NAMESPACE


def test_data_of_another_major_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres/PG_VERSION").write_text("9\n")

    with pytest.raises(EmbeddedError, match=r"written by PostgreSQL 9, but .*pg_dumpall"):
        start_postgres(tmp_path)


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres/notes.txt").write_text("mine")

    with pytest.raises(EmbeddedError, match="no PostgreSQL: move it away"):
        start_postgres(tmp_path, is_durable=False)

    assert (tmp_path / "postgres/notes.txt").read_text() == "mine"


def test_a_broken_server_is_explained_with_its_log(tmp_path: Path, directory: Path) -> None:
    shutil.copytree(directory / "postgres", tmp_path / "postgres")
    (tmp_path / "postgres/global/pg_control").unlink()
    before = set(Path(tempfile.gettempdir()).glob("deskhand-pg-*"))

    with pytest.raises(EmbeddedError, match=r"the end of .*postgres\.log:[^$]*pg_control"):
        start_postgres(tmp_path)

    assert set(Path(tempfile.gettempdir()).glob("deskhand-pg-*")) <= before
