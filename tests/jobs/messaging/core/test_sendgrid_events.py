import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.messaging.core.outcomes import Event
from jobs.messaging.core.sendgrid_events import read_events
from tests.clients.stand_ins.sendgrid_events import life_of

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SAMPLES = Path(__file__).parents[4].parent / "shared" / "samples" / "sendgrid"
PLAIN = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
JSON = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(st.text(max_size=3), PLAIN, max_size=2)
NAMES = ("event", "sg_event_id", "sg_message_id", "timestamp", "type", "status", "message_id",
         "reason", "smtp-id", "category", "email")  # fmt: skip
KINDS = ("processed", "deferred", "delivered", "bounce", "dropped", "spamreport", "unsubscribe",
         "group_unsubscribe", "group_resubscribe", "open")  # fmt: skip


def read_one(**parts: Any) -> Event:
    body = json.dumps([{"event": "delivered", "sg_event_id": "e-1", **parts}])
    (event,) = read_events(body, received_at=NOW).events
    return event


@pytest.mark.skipif(not SAMPLES.exists(), reason="the samples are not on this machine")
def test_every_sample_can_be_read() -> None:
    read = {
        path.name: read_events(path.read_text(), received_at=NOW)
        for path in sorted(SAMPLES.glob("event_webhook_*.json"))
    }

    counts = {name[14:16]: len(one.events) for name, one in read.items()}
    assert counts == {"00": 9, "02": 0, "04": 0, "06": 0, "08": 0, "10": 1, "12": 1, "14": 0}
    assert read["event_webhook_00.json"].skipped == {"open": 1, "click": 1}
    assert read["event_webhook_06.json"].skipped == {"not an event": 1}
    (processed,) = read["event_webhook_10.json"].events
    assert processed.provider_id == "5lFl7Fr1Rjme_EyzNNB_5A"


@pytest.mark.parametrize(
    ("parts", "outcome", "suppresses"),
    [
        ({"event": "processed"}, None, None),
        ({"event": "deferred"}, "deferred", None),
        ({"event": "delivered"}, "delivered", None),
        ({"event": "bounce", "type": "bounce"}, "bounced", "bounced"),
        ({"event": "bounce"}, "bounced", "bounced"),
        ({"event": "bounce", "type": "blocked"}, "bounced", None),
        ({"event": "dropped", "reason": "Bounced Address"}, "dropped", None),
        ({"event": "spamreport"}, "complained", "complained"),
        ({"event": "unsubscribe"}, "unsubscribed", "unsubscribed"),
        ({"event": "group_unsubscribe"}, "unsubscribed", "group unsubscribed"),
        ({"event": "group_resubscribe"}, None, None),
    ],
)
def test_what_an_event_means(
    parts: dict[str, Any], outcome: str | None, suppresses: str | None
) -> None:
    event = read_one(**parts)

    assert (event.outcome, event.suppresses) == (outcome, suppresses)
    assert bool(event.releases) == (parts["event"] == "group_resubscribe")


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"event": "bounce", "status": "5.1.1"}, "5.1.1"),
        ({"event": "bounce", "reason": "550 no such user pat@customer.example"}, "550"),
        ({"event": "deferred", "response": "400 try again later"}, "400"),
        ({"event": "bounce", "type": "blocked", "status": "5.7.1"}, "blocked"),
        ({"event": "bounce", "reason": "pat@customer.example is gone"}, None),
        ({"event": "bounce", "status": "pat@customer.example"}, None),
    ],
)
def test_a_code_is_a_number_and_no_words(parts: dict[str, Any], code: str | None) -> None:
    assert read_one(**parts).code == code


@pytest.mark.parametrize(
    ("stamp", "at"),
    [
        (1513299569, datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC)),
        ("1513299569", datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC)),
        (1591726752372, datetime(2020, 6, 9, 18, 19, 12, 372000, tzinfo=UTC)),
        (None, NOW),
        (True, NOW),
        ("yesterday", NOW),
        (10**40, NOW),
        ({"a": 1}, NOW),
    ],
)
def test_an_instant_is_in_seconds_or_milliseconds(stamp: object, at: datetime) -> None:
    assert abs(read_one(timestamp=stamp).happened_at - at) < timedelta(milliseconds=1)


def test_a_message_is_known_by_our_id_or_by_theirs() -> None:
    event = read_one(message_id="<m@ours.example>", sg_message_id="abc_1.filter-2.9.0")

    assert (event.message_id, event.provider_id) == ("<m@ours.example>", "abc_1")


def test_over_their_relay_our_id_is_in_the_header() -> None:
    event = read_one(**{"smtp-id": "<m@ours.example>"})

    assert (event.message_id, event.provider_id) == ("<m@ours.example>", None)


def test_an_event_without_an_id_is_the_same_when_it_comes_again() -> None:
    first, again = read_one(sg_event_id=None), read_one(sg_event_id=None)

    assert first.event_id == again.event_id
    assert first.event_id != read_one(sg_event_id=None, timestamp=1).event_id


def test_one_bad_event_loses_no_other() -> None:
    body = json.dumps(["x", 7, None, {"event": {"a": 1}}, {"event": "delivered"}, {"event": "new"}])

    reading = read_events(body, received_at=NOW)

    assert [event.outcome for event in reading.events] == ["delivered"]
    assert reading.skipped == {"not an event": 4, "new": 1}


def test_what_a_stranger_calls_an_event_is_shown_nowhere() -> None:
    reading = read_events('[{"event": "pat@customer.example"}]', received_at=NOW)

    assert reading.skipped == {"not an event": 1}


@pytest.mark.parametrize("body", ["", "{", "event=delivered"])
def test_what_is_no_json_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"line 1|column"):
        read_events(body, received_at=NOW)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(NAMES), JSON | st.sampled_from(KINDS), max_size=4),
        max_size=4,
    )
)
def test_nothing_that_is_json_breaks_it(events: list[dict[str, Any]]) -> None:
    reading = read_events(json.dumps(events), received_at=NOW)

    assert len(reading.events) + reading.skipped.total() == len(events)
    assert all(event.happened_at.tzinfo for event in reading.events)


def test_the_stand_in_tells_what_is_understood() -> None:
    mail = {
        "personalizations": [
            {"to": [{"email": "spam@c.example"}], "custom_args": {"message_id": "m"}}
        ],
        "categories": ["invoice"],
    }

    reading = read_events(json.dumps(life_of(mail, "sg-7")), received_at=NOW)

    assert [event.outcome for event in reading.events] == [None, "delivered", "complained"]
    assert {(event.message_id, event.provider_id) for event in reading.events} == {("m", "sg-7")}
