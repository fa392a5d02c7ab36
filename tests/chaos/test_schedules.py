"""The short form of `python -m tests.chaos.schedules`: the same faults, in half a minute."""

import pytest

from tests.chaos.short import check_passes

# It takes half a minute more at times: so long what a killed worker had read waits for another.
SHORT = ("--seconds", "20", "--rest", "120", "--seed", "11")


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_every_tick_fires_once_and_has_one_run_whoever_is_killed() -> None:
    check_passes("tests.chaos.schedules", *SHORT, within=220)
