from collections.abc import Callable
from typing import Any

import pytest

from jobs.email import samples

SAMPLES = [
    samples.opportunity_reminder,
    samples.proposal_notification,
    samples.report,
    samples.weekly_summary,
    samples.welcome,
]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_has_the_same_names_in_both_languages(
    sample: Callable[[str], dict[str, Any]],
) -> None:
    assert sample("en").keys() == sample("tr").keys()


def test_a_sample_shows_deadlines_of_each_kind() -> None:
    lines = samples.opportunity_reminder("tr")["lines"]

    assert [(bool(line.deadline), line.has_time) for line in lines] == [
        (True, True),
        (True, False),
        (False, False),
    ]
