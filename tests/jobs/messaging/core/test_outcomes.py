import itertools

import pytest

from jobs.messaging.core.outcomes import Outcome, is_news

WEAKER: list[tuple[Outcome, Outcome]] = [
    ("deferred", "delivered"),
    ("deferred", "bounced"),
    ("delivered", "bounced"),
    ("delivered", "failed"),
    ("delivered", "unsubscribed"),
    ("delivered", "complained"),
    ("unsubscribed", "complained"),
    ("bounced", "complained"),
]


@pytest.mark.parametrize(("weaker", "stronger"), WEAKER)
def test_what_is_known_never_goes_backwards(weaker: Outcome, stronger: Outcome) -> None:
    assert is_news(stronger, weaker)
    assert not is_news(weaker, stronger)


def test_the_first_outcome_is_news_and_the_same_is_none() -> None:
    assert is_news("deferred", None)
    assert not is_news("deferred", "deferred")


def test_any_order_of_the_same_events_ends_the_same() -> None:
    told: list[Outcome] = ["deferred", "delivered", "bounced", "unsubscribed", "complained"]
    ends = set()
    for order in itertools.permutations(told):
        known: Outcome | None = None
        for outcome in order:
            known = outcome if is_news(outcome, known) else known
        ends.add(known)

    assert ends == {"complained"}
