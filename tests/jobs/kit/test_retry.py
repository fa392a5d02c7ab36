import dataclasses
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kit import QUEUES, Exponential, Fixed, Retry
from jobs.kit.retry import Backoff

CHANCES = st.floats(min_value=0, max_value=1, exclude_max=True)
POLICIES = st.builds(
    Exponential,
    first=st.floats(min_value=0, max_value=600),
    factor=st.floats(min_value=1, max_value=100),
    cap=st.floats(min_value=600, max_value=86_400),
    jitter=st.floats(min_value=0, max_value=2),
)


def waits(backoff: Backoff, attempts: int, *, chance: float = 0) -> list[float]:
    """Seconds after each failed attempt."""
    return [
        backoff.delay(attempt, chance=chance).total_seconds() for attempt in range(1, attempts + 1)
    ]


def test_a_run_waits_5_then_25_then_125_seconds() -> None:
    assert waits(Retry().backoff, 3) == [5, 25, 125]


def test_no_wait_is_longer_than_the_cap() -> None:
    assert waits(Exponential(cap=3600), 8) == [5, 25, 125, 625, 3125, 3600, 3600, 3600]
    assert waits(Exponential(cap=26), 3, chance=0.99) == [pytest.approx(5.495), 26, 26]


@pytest.mark.parametrize("queue", ["daily-brief", "sync"])
def test_services_that_need_a_moment_are_left_alone_for_10_seconds(queue: str) -> None:
    delay = QUEUES[queue].retry.backoff.delay(1, chance=0)

    assert delay == timedelta(seconds=10)


@pytest.mark.parametrize("queue", QUEUES)
def test_every_queue_waits_5_to_10_seconds_first_and_five_times_as_long_then(queue: str) -> None:
    backoff = QUEUES[queue].retry.backoff

    first = backoff.delay(1, chance=0)

    assert timedelta(seconds=5) <= first <= timedelta(seconds=10)
    assert backoff.delay(2, chance=0) == 5 * first


def test_jitter_spreads_runs_that_failed_together() -> None:
    assert waits(Exponential(), 3, chance=0.5) == pytest.approx([5.25, 26.25, 131.25])
    assert waits(Exponential(jitter=0), 3, chance=0.5) == [5, 25, 125]


@given(POLICIES, st.integers(min_value=1, max_value=50), CHANCES)
def test_jitter_only_adds_and_only_its_share(
    policy: Exponential, attempt: int, chance: float
) -> None:
    bare = policy.delay(attempt, chance=0)
    delay = policy.delay(attempt, chance=chance)

    most = min(bare.total_seconds() * (1 + policy.jitter), policy.cap)
    assert bare <= delay <= timedelta(seconds=most) + timedelta(microseconds=1)


@given(POLICIES, st.integers(min_value=1, max_value=50), CHANCES)
def test_no_wait_is_shorter_than_the_one_before(
    policy: Exponential, attempt: int, chance: float
) -> None:
    earlier, later = (policy.delay(n, chance=chance) for n in (attempt, attempt + 1))

    assert earlier <= later <= timedelta(seconds=policy.cap)


def test_the_thousandth_attempt_does_not_overflow() -> None:
    policy = Exponential(first=1, factor=1e300, cap=7)

    assert policy.delay(1000, chance=0.5) == timedelta(seconds=7)


def test_a_fixed_wait_stays_the_same() -> None:
    assert waits(Fixed(30), 3) == [30, 30, 30]
    assert waits(Fixed(30), 3, chance=0.5) == pytest.approx([31.5, 31.5, 31.5])


@given(st.floats(min_value=0, max_value=3600), st.floats(min_value=0, max_value=2), CHANCES)
def test_a_fixed_waits_jitter_only_adds(wait: float, jitter: float, chance: float) -> None:
    delay = Fixed(wait, jitter).delay(1, chance=chance)

    least = Fixed(wait, 0).delay(1, chance=0)
    assert least <= delay <= timedelta(seconds=wait * (1 + jitter), microseconds=1)


@pytest.mark.parametrize(
    "options",
    [{"first": -1}, {"factor": 0.5}, {"first": 10, "cap": 9}, {"jitter": -0.1}, {"cap": -1}],
)
def test_an_exponential_that_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"^Exponential: needs first >= 0, factor >= 1"):
        Exponential(**options)


@pytest.mark.parametrize(("wait", "jitter"), [(-1, 0), (1, -0.1)])
def test_a_fixed_wait_that_makes_no_sense_is_refused(wait: float, jitter: float) -> None:
    with pytest.raises(ValueError, match=r"^Fixed: wait and jitter are not negative"):
        Fixed(wait, jitter)


@pytest.mark.parametrize("attempts", [0, -1])
def test_a_run_has_at_least_one_attempt(attempts: int) -> None:
    with pytest.raises(ValueError, match=r"^Retry: attempts is 1 or more"):
        Retry(attempts=attempts)


def test_a_run_has_five_attempts_unless_somebody_says_otherwise() -> None:
    assert Retry().attempts == 5
    assert Retry(attempts=1).attempts == 1


@pytest.mark.parametrize("policy", [Retry(), Exponential(), Fixed(1)])
def test_policies_are_values(policy: Retry | Exponential | Fixed) -> None:
    assert policy == dataclasses.replace(policy)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(policy, dataclasses.fields(policy)[0].name, 9)
