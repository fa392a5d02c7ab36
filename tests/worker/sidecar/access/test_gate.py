"""The gate, without a socket."""

import asyncio
import threading
import time

import pytest

from tests.worker.sidecar.api.conftest import CREDENTIALS, PASSWORD, basic
from worker.settings import load_settings
from worker.sidecar.access.gate import Gate
from worker.sidecar.access.passwords import Scrypt
from worker.sidecar.access.principal import ANYBODY, RefusedError, Role


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate(load_settings(**CREDENTIALS), clock=clock)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that hashed a password, each of which takes a moment."""
    seen: list[str] = []
    fits = Scrypt.fits

    def slowly(self: Scrypt, password: str) -> bool:
        seen.append(threading.current_thread().name)
        time.sleep(0.02)
        return fits(self, password)

    monkeypatch.setattr(Scrypt, "fits", slowly)
    return seen


async def code_for(gate: Gate, headers: dict[str, str], address: str = "10.0.0.1") -> str:
    try:
        principal = await gate.principal(headers, address)
    except RefusedError as refused:
        return refused.code
    assert principal.role is Role.OPERATOR
    return principal.name


async def test_a_password_is_hashed_seldom_and_beside_the_event_loop(
    gate: Gate, clock: Clock, hashed: list[str]
) -> None:
    for _ in range(3):
        assert await code_for(gate, basic("ayse")) == "ayse"
    assert len(hashed) == 1
    clock.now = 301
    assert await code_for(gate, basic("ayse")) == "ayse"

    assert len(hashed) == 2
    assert threading.main_thread().name not in hashed


async def test_a_name_that_does_not_exist_costs_as_much(gate: Gate, hashed: list[str]) -> None:
    assert await code_for(gate, basic("nobody")) == "unauthorized"

    assert len(hashed) == 1


async def test_many_who_guess_at_once_do_not_pile_up(gate: Gate, hashed: list[str]) -> None:
    codes = await asyncio.gather(
        *(code_for(gate, basic(f"guess{n}"), f"10.0.{n}.1") for n in range(60))
    )

    assert set(codes) == {"unauthorized", "busy"}
    assert len(hashed) == 20


async def test_failures_are_counted_for_each_name_and_address(gate: Gate, clock: Clock) -> None:
    wrong = basic("ayse", "wrong")

    assert [await code_for(gate, wrong) for _ in range(6)] == ["unauthorized"] * 5 + ["too_many"]
    assert await code_for(gate, wrong, "10.0.0.2") == "unauthorized"
    assert await code_for(gate, basic("other")) == "too_many"
    clock.now = 13
    assert await code_for(gate, wrong) == "unauthorized"


async def test_others_wrong_passwords_keep_out_nobody_with_the_right_one(
    gate: Gate, clock: Clock
) -> None:
    """All at one address, a proxy's: for an hour somebody guesses as soon as he may."""
    for second in range(0, 3600, 2):
        clock.now = second
        guess = await code_for(gate, basic("ayse", f"guess {second}"))
        assert guess in {"unauthorized", "too_many"}
    await code_for(gate, basic("ayse", "and another"))

    assert await code_for(gate, basic("ayse")) == "ayse"


async def test_beyond_the_failures_one_password_a_second_is_looked_at(
    gate: Gate, clock: Clock, hashed: list[str]
) -> None:
    for _ in range(100):
        await code_for(gate, basic("ayse", "wrong"))
    assert len(hashed) == 5 + 5

    clock.now = 3
    for _ in range(100):
        assert await code_for(gate, basic("ayse", "wrong")) == "too_many"
    assert len(hashed) == 5 + 5 + 3


async def test_who_was_let_in_is_not_held_up_by_any_number_of_guesses(
    gate: Gate, clock: Clock
) -> None:
    assert await code_for(gate, basic("ayse")) == "ayse"
    clock.now = 301  # so that it is hashed again

    *guesses, own = await asyncio.gather(
        *(code_for(gate, basic("ayse", f"{n}")) for n in range(50)),
        *(code_for(gate, basic(f"name {n}"), f"10.0.{n}.1") for n in range(50)),
        code_for(gate, basic("ayse")),
    )

    assert own == "ayse"
    assert {"too_many", "busy"} <= set(guesses)


async def test_late_guesses_hold_up_nobody_elsewhere(gate: Gate, hashed: list[str]) -> None:
    for n in range(6):
        await code_for(gate, basic("other", f"{n}"))

    *guesses, own = await asyncio.gather(
        *(code_for(gate, basic(f"name {n}")) for n in range(50)),
        code_for(gate, basic("ayse"), "10.0.0.2"),
    )

    assert own == "ayse"
    assert set(guesses) == {"too_many", "busy"}
    assert len(hashed) == 6 + 10 + 1


async def test_whoever_signs_in_uses_up_nothing(gate: Gate, clock: Clock) -> None:
    for _ in range(20):
        clock.now += 301  # so that it is hashed again
        gate._by_name._burst = gate._by_address._burst = 1
        assert await code_for(gate, basic("ayse")) == "ayse"
        assert gate._by_address.wait("10.0.0.1") == 0


async def test_what_is_remembered_of_people_is_no_password(gate: Gate) -> None:
    await code_for(gate, basic("ayse"))

    (digest,) = gate._remembered
    assert len(digest) == 32
    assert PASSWORD not in str(vars(gate))


async def test_those_who_are_not_known_have_a_pace_for_each_address(clock: Clock) -> None:
    gate = Gate(load_settings(api_rate=0.1), clock=clock)

    gate.check_pace(ANYBODY, "10.0.0.1")
    gate.check_pace(ANYBODY, "10.0.0.2")
    with pytest.raises(RefusedError, match="API_RATE"):
        gate.check_pace(ANYBODY, "10.0.0.1")
    for _ in range(100):
        Gate(load_settings(api_rate=0), clock=clock).check_pace(ANYBODY, "10.0.0.1")
