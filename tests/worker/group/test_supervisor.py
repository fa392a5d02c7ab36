"""The supervisor with processes that do nothing but live and die."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from worker.group import Patience, Supervisor

# Says that it works, and leaves a line; then what the test asks for.
HEAD = """
import os, socket, sys, time
channel = socket.socket(fileno=int(sys.argv[2]))
with open(sys.argv[3], "a") as diary:
    print(sys.argv[1], os.getpid(), file=diary)
"""
UP = "channel.send(b'r')\n"
OBEYS = "told = channel.recv(1)\nsys.exit(0 if told == b'd' else 9)\n"
SOON = Patience(first=0.01, longest=0.05, long=60, most=3)


class Group:
    def __init__(self, diary: Path) -> None:
        self.diary = diary

    def supervisor(self, script: str, *, is_burst: bool = False) -> Supervisor:
        def program(number: int, channel: int) -> Sequence[str]:
            return [
                sys.executable,
                "-Sc",
                HEAD + script,
                str(number),
                str(channel),
                str(self.diary),
            ]

        return Supervisor(program, count=3, grace=5, is_burst=is_burst, patience=SOON)

    @property
    def starts(self) -> list[tuple[int, int]]:
        """Number and pid of each start, in order."""
        lines = self.diary.read_text().splitlines() if self.diary.exists() else []
        return [(int(number), int(pid)) for number, pid in map(str.split, lines)]

    async def until_started(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.starts) < count:
                await asyncio.sleep(0.02)


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path / "diary")


async def ended(supervisor: Supervisor) -> int:
    return await asyncio.wait_for(supervisor.run(), 30)


async def test_all_run_until_they_are_told_to_stop(group: Group) -> None:
    supervisor = group.supervisor(UP + OBEYS)
    running = asyncio.create_task(ended(supervisor))
    await group.until_started(3)

    supervisor.stop()

    assert await running == 0
    assert sorted(number for number, _ in group.starts) == [0, 1, 2]


@pytest.mark.parametrize("code", [1, 78])
async def test_what_cannot_start_is_tried_once_and_ends_all_with_its_code(
    group: Group, code: int
) -> None:
    assert await ended(group.supervisor(f"sys.exit({code})")) == code

    assert [number for number, _ in group.starts] == [0]


async def test_one_that_died_is_started_again(group: Group) -> None:
    supervisor = group.supervisor(UP + OBEYS)
    running = asyncio.create_task(ended(supervisor))
    await group.until_started(3)
    victim = dict(group.starts)[1]

    os.kill(victim, signal.SIGKILL)
    await group.until_started(4)

    number, pid = group.starts[3]
    assert number == 1
    assert pid != victim
    supervisor.stop()
    assert await running == 0


async def test_one_that_keeps_dying_ends_all_with_its_code(group: Group) -> None:
    dies = "sys.exit(3) if sys.argv[1] == '2' else None\n"

    code = await ended(group.supervisor(UP + dies + OBEYS))

    assert code == 3
    assert [number for number, _ in group.starts].count(2) == 1 + SOON.most
    assert [number for number, _ in group.starts].count(0) == 1


async def test_settings_that_became_wrong_end_all_at_once(group: Group) -> None:
    wrong = "sys.exit(78) if sys.argv[1] == '2' else None\n"

    assert await ended(group.supervisor(UP + wrong + OBEYS)) == 78

    assert [number for number, _ in group.starts].count(2) == 1


async def test_a_burst_ends_with_the_last_one(group: Group) -> None:
    naps = "time.sleep(0.3 * int(sys.argv[1]))\n"

    assert await ended(group.supervisor(UP + naps, is_burst=True)) == 0

    assert 1 <= len(group.starts) <= 3


async def test_a_second_order_hurries_all(group: Group) -> None:
    waits = "while channel.recv(1) != b'h': pass\n"
    supervisor = group.supervisor(UP + waits)
    running = asyncio.create_task(ended(supervisor))
    await group.until_started(3)

    supervisor.stop()
    supervisor.stop(hurry=True)

    assert await running == 0


async def test_one_that_is_told_while_it_starts_hears_it(group: Group) -> None:
    supervisor = group.supervisor("time.sleep(0.3)\n" + OBEYS)
    running = asyncio.create_task(ended(supervisor))
    await group.until_started(1)

    supervisor.stop()

    assert await running == 0
    assert len(group.starts) == 1


async def test_a_program_that_cannot_be_started_ends_all(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(group.diary / "nothing"))

    assert await ended(group.supervisor(UP)) == 1

    assert group.starts == []


def test_waits_grow_up_to_a_bound() -> None:
    patience = Patience()

    waits = [patience.wait(deaths) for deaths in range(1, patience.most + 1)]

    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


async def test_one_that_does_not_end_is_killed(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.group.supervisor._KILL_AFTER", -4.5)  # of a grace of 5 s
    supervisor = group.supervisor(UP + "time.sleep(60)\n")
    running = asyncio.create_task(ended(supervisor))
    await group.until_started(3)
    began = time.monotonic()

    supervisor.stop()

    assert await running == 1
    assert time.monotonic() - began < 10
