"""A cancelled task has ended when `cancel` returns, whatever it made of being cancelled."""

import asyncio
import gc

import pytest

from worker.background import cancel


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.background._PATIENCE", 0.05)


async def sleep_for_ever() -> None:
    await asyncio.Event().wait()


async def swallow(times: int) -> int:
    """Go on after being cancelled, this often."""
    told = 0
    while True:
        try:
            await sleep_for_ever()
        except asyncio.CancelledError:
            told += 1
            if told > times:
                raise


async def fail_when_cancelled() -> None:
    try:
        await sleep_for_ever()
    finally:
        raise ValueError("on the way out")


async def begun(*tasks: "asyncio.Task[object]") -> list["asyncio.Task[object]"]:
    """Tasks that have come to their first await."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return list(tasks)


async def test_tasks_are_done_afterwards() -> None:
    tasks = await begun(*(asyncio.create_task(sleep_for_ever()) for _ in range(3)))

    await cancel(tasks)

    assert all(task.cancelled() for task in tasks)


async def test_a_task_that_never_began_is_cancelled_too() -> None:
    task = asyncio.create_task(sleep_for_ever())

    await cancel([task])

    assert task.cancelled()


async def test_a_task_that_swallows_its_cancellation_is_told_again() -> None:
    tasks = await begun(asyncio.create_task(swallow(1)), asyncio.create_task(sleep_for_ever()))

    await asyncio.wait_for(cancel(tasks), 10)

    assert all(task.cancelled() for task in tasks)


async def test_a_task_may_take_its_time_to_clean_up() -> None:
    cleaned = []

    async def clean_up() -> None:
        try:
            await sleep_for_ever()
        finally:
            for number in range(3):
                await asyncio.sleep(0)
                cleaned.append(number)

    await cancel(await begun(asyncio.create_task(clean_up())))

    assert cleaned == [0, 1, 2]


async def test_errors_are_dropped_without_a_complaint() -> None:
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        await cancel(await begun(asyncio.create_task(fail_when_cancelled())))
        gc.collect()
    finally:
        loop.set_exception_handler(None)

    assert complaints == []


async def test_what_is_done_already_and_nothing_at_all_are_fine() -> None:
    done = asyncio.create_task(asyncio.sleep(0, "result"))
    await done

    await cancel([done])
    await cancel([])

    assert done.result() == "result"
