"""`deskhand run --processes` with real processes: shared work, deaths, signals, orphans."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.ports import free_port
from tests.worker.conftest import until
from tests.worker.trouble_jobs import NAPS, marks_in
from tests.worker.trouble_servers import Load, exit_code
from worker.enqueuer import Pool

pytestmark = pytest.mark.timeout(150)  # several processes on a busy machine
START = 60.0  # seconds
NAP = NAPS["default"]


class Group:
    """A supervisor and its processes."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.port = free_port()
        self.var_dir = folder / "var"
        self._log = folder / "group.log"
        self._environment = {
            **os.environ,
            **settings,
            "VAR_DIR": str(self.var_dir),
            "PORT": str(self.port),
            "RUN_LEASE": "3",
        }
        self.process: subprocess.Popen[str] | None = None

    def run(self, *options: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.worker.group_app", "run", *options]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        return self.process

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "worker", *words],
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
        )

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def until_logged(self, sentence: str, count: int = 1) -> None:
        async def is_logged() -> bool:
            return self.log.count(sentence) >= count

        await until(is_logged, within=START)

    @property
    def workers(self) -> set[int]:
        """The pids of the processes that this supervisor has now."""
        assert self.process is not None
        return children_of(self.process.pid)

    async def get(self, path: str) -> httpx.Response | None:
        async with httpx.AsyncClient() as client:
            try:
                return await client.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)
            except httpx.HTTPError:
                return None

    async def until_answer(self, path: str, code: int, within: float = START) -> dict[str, Any]:
        async def answer() -> httpx.Response | None:
            reply = await self.get(path)
            return reply if reply is not None and reply.status_code == code else None

        body: dict[str, Any] = json.loads((await until(answer, within)).text)
        return body

    def kill(self) -> None:
        if self.process is not None:
            left = self.workers
            self.process.kill()
            self.process.wait()
            for pid in left & alive(left):
                os.kill(pid, signal.SIGKILL)


def children_of(parent: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.add(int(entry.name))
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that have not ended; a zombie that nobody waited for has."""
    found = set()
    for pid in pids:
        try:
            status = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if status != "Z":
            found.add(pid)
    return found


@pytest.fixture
def group(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Group]:
    group = Group(tmp_path, {"DATABASE_URL": database_url, "REDIS_URL": redis_url})
    yield group
    group.kill()


@pytest.fixture
def load(pool: Pool, tmp_path: Path) -> Load:
    return Load(pool, tmp_path / "marks")


async def test_the_processes_share_the_work_and_survive_the_death_of_one(
    group: Group, load: Load
) -> None:
    supervisor = group.run("--processes", "3")
    await group.until_logged("Worker started", 3)
    before = group.workers
    assert len(before) == 3
    for _ in range(30):
        await load.add(NAP, seconds=4)

    async def is_in_hand_of_all() -> bool:
        return {mark.pid for mark in marks_in(load.path)} == before

    await until(is_in_hand_of_all)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    for _ in range(60):
        await load.add(NAP, seconds=0.05)
    for number in range(90):
        await load.until(number, "end", within=60)
    await group.until_logged("Worker started", 4)

    marks = marks_in(load.path)
    ended = {mark.number for mark in marks if mark.pid == victim and mark.event == "end"}
    left = {mark.number for mark in marks if mark.pid == victim} - ended
    begun = Counter(mark.number for mark in marks if mark.event == "begin")
    assert begun == {number: 1 + (number in left) for number in range(90)}
    assert left
    assert len(group.workers) == 3
    assert len(group.workers - before) == 1
    await group.until_answer("/health/ready", 200)
    supervisor.terminate()
    assert await exit_code(supervisor) == 0
    assert alive(before | group.workers) == set()


async def test_one_port_answers_for_all_of_them(group: Group) -> None:
    supervisor = group.run("--processes", "2")
    await group.until_logged("Worker started", 2)
    first, second = sorted(group.workers)
    body = await group.until_answer("/health", 200)
    assert body["checks"]["processes"]["status"] == "ok"
    assert (await asyncio.to_thread(group.command, "health", "ready")).returncode == 0

    async def both_up() -> bool:
        return await scraped(group) == {"0": 1, "1": 1}

    await until(both_up)
    os.kill(supervisor.pid, signal.SIGSTOP)  # nobody starts it again
    os.kill(second, signal.SIGKILL)

    body = await group.until_answer("/health", 503, within=40)
    assert body["checks"]["processes"]["status"] == "unhealthy"
    assert sorted((await scraped(group)).values()) == [0, 1]
    assert (await asyncio.to_thread(group.command, "health", "ready")).returncode == 1
    os.kill(supervisor.pid, signal.SIGCONT)
    await group.until_answer("/health", 200)
    assert first in group.workers
    assert len(group.workers) == 2

    os.kill(first, signal.SIGSTOP)  # stuck, and still there

    await group.until_answer("/health/ready", 503, within=40)
    os.kill(first, signal.SIGCONT)
    await group.until_answer("/health/ready", 200)


async def scraped(group: Group) -> dict[str, float]:
    reply = await group.get("/metrics")
    assert reply is not None
    families = {family.name: family for family in text_string_to_metric_families(reply.text)}
    active = {sample.labels["process"] for sample in families["worker_active_jobs"].samples}
    up = {
        sample.labels["process"]: sample.value for sample in families["worker_process_up"].samples
    }
    assert active == {number for number, value in up.items() if value}
    return up


async def test_ctrl_c_lets_all_finish_and_a_second_one_does_not(group: Group, load: Load) -> None:
    """A terminal signals the whole process group of the supervisor."""
    supervisor = group.run("--processes", "2")
    await group.until_logged("Worker started", 2)
    workers = group.workers
    numbers = [await load.add(NAP, seconds=3) for _ in range(4)]
    for number in numbers:
        await load.until(number, "begin")

    os.killpg(supervisor.pid, signal.SIGINT)
    for pid in workers:  # as a service manager does: to the supervisor and to each of them
        os.kill(pid, signal.SIGTERM)

    assert await exit_code(supervisor, 30) == 0
    assert load.count("end") == dict.fromkeys(numbers, 1)
    assert "Giving runs back" not in group.log

    supervisor = group.run("--processes", "2")
    await group.until_logged("Worker started", 2)
    number = await load.add(NAP, seconds=60)
    await load.until(number, "begin")
    os.killpg(supervisor.pid, signal.SIGINT)
    await group.until_logged("Finishing runs in hand")
    os.killpg(supervisor.pid, signal.SIGINT)

    assert await exit_code(supervisor, 15) == 0
    assert "Giving runs back" in group.log


async def test_without_their_supervisor_they_finish_and_end(group: Group, load: Load) -> None:
    supervisor = group.run("--processes", "2")
    await group.until_logged("Worker started", 2)
    workers = group.workers
    folder = folder_of(min(workers))
    assert {path.name for path in folder.iterdir()} == {"0.sock", "1.sock"}
    number = await load.add(NAP, seconds=2)
    await load.until(number, "begin")

    supervisor.kill()
    await asyncio.to_thread(supervisor.wait)

    async def are_gone() -> bool:
        return not alive(workers)

    await until(are_gone, within=30)
    assert load.count("end") == {number: 1}
    assert group.log.count("Worker stopped") == 2
    assert not folder.exists()


def folder_of(pid: int) -> Path:
    """Where the processes of a group have their sockets."""
    words = Path("/proc", str(pid), "cmdline").read_bytes().decode().split("\0")
    return Path(next(word for word in words if word.startswith("--folder=")).partition("=")[2])


async def test_a_burst_on_private_services_ends_with_the_work(tmp_path: Path) -> None:
    """Started once, by the supervisor, and stopped after the last process."""
    group = Group(tmp_path, {"PROCESSES": "2"})
    supervisor = group.run("--burst", "--queues", "email,sync")

    assert await exit_code(supervisor, 90) == 0

    assert group.log.count("PostgreSQL is up") == group.log.count("Valkey is up") == 1
    assert '"queues": ["email", "sync"]' in group.log
    assert group.log.count("Worker started") in {1, 2}


async def test_what_keeps_them_from_starting_is_said_once(group: Group) -> None:
    group._environment["DATABASE_URL"] = "postgresql://app@127.0.0.1:1/app"
    group._environment["START_TIMEOUT"] = "0"

    assert await exit_code(group.run("--processes", "3"), 60) == 1

    assert group.log.startswith("deskhand cannot start: PostgreSQL (DATABASE_URL) does not answer")
    assert len(group.log.splitlines()) == 1


async def test_a_port_that_is_taken_is_a_sentence(group: Group) -> None:
    group._environment["HOST"] = "192.0.2.1"

    assert await exit_code(group.run("--processes", "2"), 60) == 1

    assert group.log.startswith("deskhand cannot start: '192.0.2.1' is no address of this machine")
