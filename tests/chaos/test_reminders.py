"""The short form of `python -m tests.chaos.reminders`: one change of the clock, some hundred."""

import pytest

from tests.chaos.short import check_passes

SHORT = ("--appointments", "300", "--hours", "8", "--segments", "1", "--seed", "3")


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_each_reminder_that_is_due_is_sent_once_whoever_is_killed() -> None:
    check_passes("tests.chaos.reminders", *SHORT, within=220)
