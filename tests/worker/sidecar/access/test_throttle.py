"""Token buckets."""

from worker.sidecar.access import throttle
from worker.sidecar.access.throttle import Buckets


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_so_many_at_once_and_then_at_a_pace() -> None:
    clock = Clock()
    buckets = Buckets(rate=0.5, burst=3, clock=clock)

    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 2]
    assert buckets.take("b") == 0
    clock.now = 1
    assert buckets.take("a") == 1
    clock.now = 2
    assert (buckets.wait("a"), buckets.take("a"), buckets.take("a")) == (0, 0, 2)


def test_a_bucket_never_holds_more_than_it_may() -> None:
    clock = Clock()
    buckets = Buckets(rate=1, burst=2, clock=clock)
    buckets.take("a")
    buckets.give_back("a")
    buckets.give_back("a")
    clock.now = 1000

    assert [buckets.take("a") for _ in range(3)] == [0, 0, 1]


def test_many_keys_take_bounded_memory() -> None:
    buckets = Buckets(rate=1, burst=1, clock=Clock())

    for number in range(throttle.MOST_KEYS + 500):
        buckets.take(number)

    assert len(buckets._buckets) == throttle.MOST_KEYS
    assert buckets.take(throttle.MOST_KEYS + 499) == 1
