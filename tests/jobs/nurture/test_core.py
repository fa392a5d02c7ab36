from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from jobs.messaging.core.channels import Channel, Choice
from jobs.messaging.core.suppression import Suppression
from jobs.nurture.core import (
    Due,
    Standing,
    Step,
    StepChannel,
    counts_from_after_pause,
    end_reason,
    in_order,
    is_exit,
    next_due,
    route,
    skip_reason,
)

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def step(hours: float) -> Step:
    return Step(step_id=uuid4(), delay=hours * HOUR, channel="email", template="nurture_welcome")


def standing(
    *,
    preferred: Channel | None = None,
    consented: str = "email sms",
    addressed: str = "email sms",
    **suppressed: Suppression,
) -> Standing:
    known: dict[str, Channel] = {"email": "email", "sms": "sms"}
    return Standing(
        preferred=preferred,
        consented=frozenset(known[name] for name in consented.split()),
        addressed=frozenset(known[name] for name in addressed.split()),
        suppressed={known[name]: one for name, one in suppressed.items()},
    )


def test_the_next_step_is_the_first_of_the_order_of_now_that_is_not_done() -> None:
    first, second, third = step(0), step(2), step(5)

    assert next_due([third, first, second], {first.step_id}, counts_from=START) == Due(
        third, START + 5 * HOUR
    )
    assert next_due([first], {first.step_id}, counts_from=START) is None


def test_time_spent_paused_does_not_count() -> None:
    after = counts_from_after_pause(START, paused_at=START + HOUR, resumed_at=START + 10 * HOUR)

    assert after == START + 9 * HOUR


def test_a_step_that_left_during_the_pause_counts_from_its_end() -> None:
    sent_at = START + 2 * HOUR

    after = counts_from_after_pause(sent_at, paused_at=START, resumed_at=START + 5 * HOUR)

    assert after == START + 5 * HOUR


@pytest.mark.parametrize(
    ("channel", "preferred", "expected"),
    [
        ("preferred", None, Choice(("email", "sms"))),
        ("preferred", "sms", Choice(("sms",), "email")),
        ("email", "sms", Choice(("email",), "sms")),
        ("sms", None, Choice(("sms",), "email")),
    ],
)
def test_a_steps_channel_comes_before_the_contacts(
    channel: StepChannel, preferred: Channel | None, expected: Choice
) -> None:
    chosen = route(channel, standing(preferred=preferred), offered={"email", "sms"})

    assert chosen == expected


def test_a_channel_that_cannot_be_gives_way_to_the_other() -> None:
    bounced = Suppression("bounced", START)

    assert route("email", standing(email=bounced), offered={"email", "sms"}) == Choice(("sms",))
    assert route("sms", standing(addressed="email"), offered={"email", "sms"}) == Choice(("email",))
    assert route("sms", standing(), offered={"email"}) == Choice(("email",))
    assert not route("sms", standing(consented="email"), offered={"sms"})


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (standing(consented="sms"), "no_consent"),
        (standing(addressed="sms"), "no_address"),
        (standing(email=Suppression("bounced", START)), "suppressed"),
    ],
)
def test_why_nothing_can_be_sent_by_mail(who: Standing, reason: str) -> None:
    assert skip_reason(who, offered={"email"}) == reason


@pytest.mark.parametrize(
    ("reason", "since", "expected"),
    [
        ("unsubscribed", START, "unsubscribe"),
        ("opted out", START + HOUR, "unsubscribe"),
        ("complained", START + HOUR, "unsubscribe"),
        ("bounced", START + HOUR, None),
        ("unsubscribed", START - HOUR, None),  # and agreed to SMS since
    ],
)
def test_a_wish_since_the_start_ends_it_and_a_broken_mailbox_does_not(
    reason: str, since: datetime, expected: str | None
) -> None:
    who = standing(email=Suppression(reason, since))

    assert end_reason(who, exit_on=(), started_at=START, replied_at=None) == expected


def test_who_wishes_nothing_by_all_channels_they_agreed_to_has_ended_it() -> None:
    who = standing(consented="email", email=Suppression("unsubscribed", START - HOUR))

    assert end_reason(who, exit_on=(), started_at=START, replied_at=None) == "unsubscribe"
    none = standing(consented="")
    assert end_reason(none, exit_on=(), started_at=START, replied_at=None) == "consent_withdrawn"


@pytest.mark.parametrize(
    ("exit_on", "hours", "expected"),
    [(("reply",), 1, "reply"), (("reply",), -1, None), (("conversion",), 1, None)],
)
def test_a_reply_counts_from_the_start_on(
    exit_on: tuple[str, ...], hours: int, expected: str | None
) -> None:
    replied_at = START + hours * HOUR

    assert (
        end_reason(standing(), exit_on=exit_on, started_at=START, replied_at=replied_at) == expected
    )


def test_to_unsubscribe_is_always_an_exit() -> None:
    assert is_exit("unsubscribe", ())
    assert is_exit("conversion", ("conversion",))
    assert not is_exit("reply", ("conversion",))


def test_what_has_to_wait_goes_last() -> None:
    assert in_order({"email", "sms"}, waiting={"email"}) == ["sms", "email"]
    assert in_order({"email", "sms"}, waiting=()) == ["email", "sms"]
