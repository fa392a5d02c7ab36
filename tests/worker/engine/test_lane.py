"""Two calls on their way: side by side on one connection, and one after the other once it broke."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from worker.engine.claims import Reply
from worker.engine.hands import Hands
from worker.engine.lane import Call, Lane
from worker.engine.store import RunStore, Tick


class Line:
    """In the place of the store: notes what is sent, and answers when told to."""

    def __init__(self) -> None:
        self.is_connected = True
        self.sent: list[int] = []
        self._answers: dict[int, asyncio.Future[Reply]] = {}

    async def send(self, tick: Tick) -> Reply:
        self.sent.append(tick.serial)
        self._answers[tick.serial] = asyncio.get_running_loop().create_future()
        return await self._answers[tick.serial]

    def answer(self, serial: int) -> None:
        self._answers.pop(serial).set_result(Reply([], []))

    def break_down(self) -> None:
        """Nobody knows what became of the calls that wait."""
        self.is_connected = False
        for answer in self._answers.values():
            answer.set_exception(RedisConnectionError("lost"))
        self._answers.clear()


class House:
    """Two lanes on one line; `send` puts a call on one of them."""

    def __init__(self) -> None:
        self.line = Line()
        hands = Hands(cast("Any", None), clock=time.time, on_free=lambda: None)
        store = cast("RunStore", self.line)
        self.losses = 0
        self.lanes = [
            Lane(store, hands, lambda *_: None, number=number, on_away=self.lose)
            for number in (1, 2)
        ]
        self.lanes[0].others, self.lanes[1].others = [self.lanes[1]], [self.lanes[0]]
        self.tasks: list[asyncio.Task[Reply | None]] = []

    def lose(self) -> None:
        self.losses += 1

    async def send(self, serial: int, *, lane: int) -> "asyncio.Task[Reply | None]":
        call = Call(Tick(serial, [], "token", []), [], {}, 1)
        task = asyncio.create_task(self.lanes[lane - 1].send(call))
        self.tasks.append(task)
        await settled()
        return task


async def settled() -> None:
    """Longer than any backoff of this file."""
    await asyncio.sleep(0.05)


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("worker.engine.lane._BACKOFF", (0.001, 0.002))
    house = House()
    yield house
    for task in house.tasks:
        task.cancel()


async def test_a_call_follows_another_on_the_same_connection(house: House) -> None:
    await house.send(1, lane=1)
    await house.send(2, lane=2)

    assert house.line.sent == [1, 2]


async def test_the_answer_of_a_later_call_is_not_waited_for(house: House) -> None:
    await house.send(1, lane=1)
    second = await house.send(2, lane=2)
    house.line.answer(2)
    await second
    await house.send(3, lane=2)

    assert house.line.sent == [1, 2, 3]


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
async def test_calls_that_were_lost_are_sent_again_in_their_order(
    house: House, first: int, second: int
) -> None:
    """The end of a run and the next claim of it may be in them."""
    await house.send(1, lane=first)
    await house.send(2, lane=second)
    house.line.break_down()
    house.line.is_connected = True

    await settled()
    assert house.line.sent == [1, 2, 1]
    house.line.answer(1)
    await settled()

    assert house.line.sent == [1, 2, 1, 2]


async def test_a_new_call_does_not_overtake_one_that_was_lost(house: House) -> None:
    lost = await house.send(1, lane=1)
    house.line.break_down()
    house.line.is_connected = True
    await settled()

    await house.send(2, lane=2)
    assert house.line.sent == [1, 1]
    house.line.answer(1)
    await lost
    await settled()

    assert house.line.sent == [1, 1, 2]
    assert house.losses == 1


async def test_a_new_call_opens_no_connection_before_an_older_one_has(house: House) -> None:
    await house.send(1, lane=1)
    house.line.is_connected = False  # and nobody has noticed yet

    await house.send(2, lane=2)

    assert house.line.sent == [1]
