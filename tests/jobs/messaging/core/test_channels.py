from itertools import product

import pytest

from jobs.messaging.core.channels import CHANNELS, Channel, Choice, choose, results_of
from worker.telemetry.redaction import MASK, redact

BOTH = frozenset(CHANNELS)


@pytest.mark.parametrize(
    ("preferred", "consented", "reachable", "choice"),
    [
        (None, BOTH, BOTH, Choice(("email", "sms"))),
        (None, {"sms"}, BOTH, Choice(("sms",))),
        (None, BOTH, {"email"}, Choice(("email",))),
        (None, set(), BOTH, Choice(())),
        ("sms", BOTH, BOTH, Choice(("sms",), "email")),
        ("email", BOTH, BOTH, Choice(("email",), "sms")),
        ("sms", {"sms"}, BOTH, Choice(("sms",))),
        ("sms", {"email"}, BOTH, Choice(("email",))),
        ("sms", BOTH, {"email"}, Choice(("email",))),
        ("sms", {"sms"}, {"email"}, Choice(())),
    ],
)
def test_a_preference_is_one_channel_and_the_other_stands_in(
    preferred: Channel | None, consented: set[Channel], reachable: set[Channel], choice: Choice
) -> None:
    assert choose(preferred, consented=consented, reachable=reachable) == choice


def test_nobody_is_written_to_without_consent() -> None:
    subsets: list[set[Channel]] = [set(), {"email"}, {"sms"}, {"email", "sms"}]
    preferences: list[Channel | None] = [None, "email", "sms"]

    for preferred, consented, reachable in product(preferences, subsets, subsets):
        choice = choose(preferred, consented=consented, reachable=reachable)
        used = {*choice.channels, *([choice.otherwise] if choice.otherwise else [])}

        assert used <= consented & reachable
        assert bool(choice) == bool(consented & reachable)


def test_results_say_what_became_of_it_where_redaction_lets_it_stand() -> None:
    results = results_of({"sms": "suppressed", "email": "sent"})

    assert results == [
        {"channel": "sms", "status": "suppressed"},
        {"channel": "email", "status": "sent"},
    ]
    assert redact(results) == results
    assert redact({"email": "sent"}) == {"email": MASK}  # that is why
