from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.micros import instant_of_micros, micros_of


@given(
    at=st.timedeltas(timedelta(0), timedelta(days=2_900_000)),
    hours=st.integers(-12, 14),
)
def test_an_instant_comes_back_from_its_microseconds(at: timedelta, hours: int) -> None:
    instant = datetime(1970, 1, 1, tzinfo=UTC) + at

    there = instant.astimezone(timezone(timedelta(hours=hours)))

    assert instant_of_micros(str(micros_of(there))) == instant


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "9" * 30, "9" * 5000])
def test_what_is_no_instant_is_none(text: str) -> None:
    assert instant_of_micros(text) is None
