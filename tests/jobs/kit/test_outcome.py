from datetime import timedelta

import pytest

from jobs.kit import Cancel, Snooze


def test_a_cancel_says_why() -> None:
    cancel = Cancel("paid already")

    assert cancel.reason == str(cancel) == "paid already"


@pytest.mark.parametrize("delay", [timedelta(seconds=90), 90, 90.0])
def test_a_snooze_takes_a_timedelta_or_seconds(delay: timedelta | float) -> None:
    assert Snooze(delay).delay == timedelta(seconds=90)


def test_a_snooze_may_say_why() -> None:
    assert Snooze(1).reason == ""
    assert Snooze(1, "the file is not there yet").reason == "the file is not there yet"


@pytest.mark.parametrize("delay", [0, -1, timedelta(0), timedelta(seconds=-1)])
def test_a_snooze_that_would_come_back_at_once_is_refused(delay: timedelta | float) -> None:
    with pytest.raises(ValueError, match=r"^Snooze: the delay is more than nothing"):
        Snooze(delay)
