from datetime import UTC, datetime
from typing import Any

import pytest

from worker.kept_result import LIMIT, kept_result

TICK = "tick:beat.note_tick:2026-11-23T08:00:00Z"


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ({"reminders": 3}, '{"reminders":3}'),
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, '{"at":"2026-01-01T00:00:00Z"}'),
        ({"password": "s3cret"}, '{"password":"[redacted]"}'),
        (None, None),
        (object(), None),
        ("x" * LIMIT, None),
    ],
)
def test_what_a_scheduled_run_returned_is_kept_when_it_is_small_json(
    result: Any, kept: str | None
) -> None:
    assert kept_result(TICK, result) == kept


def test_other_runs_keep_theirs_in_redis_alone() -> None:
    assert kept_result("5b1c", {"reminders": 3}) is None
