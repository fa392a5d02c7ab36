"""The short form of `make chaos`: the same faults and the same reckoning, in a minute or two."""

import pytest

from tests.chaos.short import check_passes

# A lease with room to spare, because other tests run beside this one. It takes more than a minute:
# so long a record that a killed worker had taken waits for another one.
ARGUMENTS = ("--runs", "600", "--minutes", "0.4", "--lease", "8", "--workers", "3", "--seed", "149")
SHORT = (*ARGUMENTS, "--takeover-lease", "5", "--rest", "120")


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_nothing_is_lost_and_nothing_is_done_twice_amid_faults() -> None:
    check_passes("tests.chaos", *SHORT, within=280)
