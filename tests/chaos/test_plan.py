"""The plan of faults: repeatable, and fair to the leases."""

from itertools import pairwise

import pytest

from tests.chaos.orders import KINDS, orders
from tests.chaos.plan import Fault, What, longest_gap, plan

OF_REDIS = set(list(What)[: list(What).index(What.WORKER_KILL)])


def long_plan(seed: int = 7, lease: float = 5) -> list[Fault]:
    return plan(seed=seed, seconds=600, lease=lease)


def test_a_seed_always_gives_the_same_plan_and_another_one_another() -> None:
    assert long_plan(seed=7) == long_plan(seed=7)
    assert long_plan(seed=7) != long_plan(seed=8)


def test_a_long_plan_has_every_fault() -> None:
    assert {fault.what for fault in long_plan()} == set(What)


def test_every_fault_is_over_in_time() -> None:
    assert max(fault.at + fault.length for fault in long_plan()) <= 600


@pytest.mark.parametrize("lease", [4, 5, 30])
def test_what_delays_renewals_is_shorter_than_a_lease_with_room_in_between(lease: float) -> None:
    faults = [fault for fault in long_plan(lease=lease) if fault.what in OF_REDIS]

    assert max(fault.length for fault in faults) <= max(3, longest_gap(lease))
    for before, after in pairwise(faults):
        assert after.at - (before.at + before.length) >= 0.69 * lease


def test_only_a_stop_is_longer_than_the_lease() -> None:
    too_long = {fault.what for fault in long_plan() if fault.length > 5}

    assert too_long == {What.WORKER_STOP}


def test_the_same_seed_asks_for_the_same_runs_each_once() -> None:
    asked = list(orders(2000, seed=7, lease=5))

    assert asked == list(orders(2000, seed=7, lease=5))
    assert len({order.run_id for order in asked}) == 2000
    assert {order.kind.job.name for order in asked} == {kind.job.name for kind in KINDS}
