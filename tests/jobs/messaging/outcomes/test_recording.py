import pytest

from jobs.messaging.outcomes.recording import Recorded, record_all


async def test_one_that_fails_keeps_no_other_from_its_turn() -> None:
    seen: list[int] = []

    async def record(number: int) -> Recorded:
        seen.append(number)
        if number == 1:
            raise RuntimeError("of number 1")
        return "recorded"

    with pytest.raises(RuntimeError, match="of number 1"):
        await record_all([0, 1, 2], record)

    assert seen == [0, 1, 2]


async def test_when_many_fail_it_is_not_the_events() -> None:
    seen: list[int] = []

    async def record(number: int) -> Recorded:
        seen.append(number)
        raise RuntimeError("away")

    with pytest.raises(RuntimeError, match="away"):
        await record_all(range(100), record)

    assert seen == [0, 1, 2]


async def test_what_was_recorded_is_counted() -> None:
    async def record(what: Recorded) -> Recorded:
        return what

    kinds: list[Recorded] = ["recorded", "repeated", "recorded"]
    assert await record_all(kinds, record) == {"recorded": 2, "repeated": 1}
