import pytest

from worker.schedules.views import in_words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 9 * * 1-5", "At 09:00 on Monday through Friday"),
        ("*/30 * * * *", "Every 30th minute of every hour"),
        ("every 1", "Every second"),
        ("every 90", "Every 90 seconds"),
        ("every 300", "Every 5 minutes"),
        ("every 86400", "Every day"),
        ("every 90000", "Every 25 hours"),
        ("off", "On demand"),
    ],
)
def test_times_are_told_in_words(line: str, words: str) -> None:
    assert in_words(line) == words
