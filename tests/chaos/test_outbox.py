"""The short form of `python -m tests.chaos.outbox`: the same with fewer transactions."""

import pytest

from tests.chaos.short import check_passes

SHORT = ("--runs", "1500", "--seconds", "12", "--rest", "15", "--seed", "7")


@pytest.mark.integration
@pytest.mark.timeout(150)
def test_what_is_committed_runs_and_nothing_else_does() -> None:
    check_passes("tests.chaos.outbox", *SHORT, within=140)
