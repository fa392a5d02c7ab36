from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.messaging.core.outcomes import Event
from jobs.messaging.core.twilio_status import Inbound, Word, read_callback, word_of

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def read(query: str = "", **fields: str) -> Event | Inbound | None:
    return read_callback(urlencode(fields), query, received_at=NOW)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("accepted", None),
        ("queued", None),
        ("sending", None),
        ("sent", None),
        ("delivered", "delivered"),
        ("read", "delivered"),
        ("undelivered", "failed"),
        ("failed", "failed"),
    ],
)
def test_what_a_status_means(status: str, outcome: str | None) -> None:
    event = read("message_id=m%2D1", MessageSid="SM1", MessageStatus=status)

    assert isinstance(event, Event)
    assert (event.outcome, event.message_id, event.provider_id) == (outcome, "m-1", "SM1")
    assert event.event_id == f"SM1:{status}"


@pytest.mark.parametrize(
    ("code", "suppresses"),
    [
        ("21610", "opted out"),
        ("30003", None),
        ("30005", "unreachable"),
        ("30006", "unreachable"),
        ("30007", None),
        ("30034", None),
    ],
)
def test_a_failure_has_its_code_and_some_last(code: str, suppresses: str | None) -> None:
    event = read(MessageSid="SM1", MessageStatus="undelivered", ErrorCode=code)

    assert isinstance(event, Event)
    assert (event.code, event.suppresses) == (code, suppresses)


def test_words_in_the_place_of_a_code_are_left_out() -> None:
    event = read(MessageSid="SM1", MessageStatus="failed", ErrorCode="to +905321234567")

    assert isinstance(event, Event)
    assert event.code is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("STOP", "stop"),
        ("Stop all!", "stop"),
        ("opt\u200b-out", "stop"),
        ("İptal et.", "stop"),
        ("DURDUR", "stop"),
        ("I want to stop", None),
        (" Stop. ", "stop"),
        ("«Stop»", "stop"),
        ("StopAll", "stop"),
        ("UNSUBSCRIBE", "stop"),
        ("DUR", "stop"),
        ("iptal", "stop"),
        ("IPTAL", "stop"),
        ("İPTAL", "stop"),
        ("İptal!", "stop"),
        ("ıptal", "stop"),
        ("RET", "stop"),
        ("START", "start"),
        ("BASLA", "start"),
        ("BAŞLA", "start"),
        ("başla", "start"),
        ("help", "help"),
        ("YARDIM", "help"),
        ("Yardım", "help"),
        ("yardim", "help"),
        ("yes", None),
        ("Please stop by at 10", None),
        ("Durdum", None),
        ("", None),
        ("Randevuyu iptal etmek istiyorum", None),
    ],
)
def test_a_word_is_a_whole_sms(text: str, word: Word | None) -> None:
    assert word_of(text) == word


def test_what_twilio_took_it_for_comes_first() -> None:
    assert word_of("Lass das", opt_out_type="STOP") == "stop"
    assert word_of("yes", opt_out_type="START") == "start"


def test_an_inbound_sms_names_both_sides_and_no_words() -> None:
    inbound = read(
        MessageSid="SM2",
        From="+905321234567",
        To="+15005550006",
        MessagingServiceSid="MG1",
        Body="Teşekkürler",
        SmsStatus="received",
    )

    assert inbound == Inbound(
        event_id="SM2:received",
        sender="+905321234567",
        services=("+15005550006", "MG1"),
        word=None,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"MessageSid": "SM1", "MessageStatus": "brand-new"},
        {"MessageSid": "SM1", "SmsStatus": "queued", "Body": "x", "From": "a", "To": "b"},
        {"MessageSid": "SM1", "Body": "x"},
        {"MessageSid": "x" * 1000, "MessageStatus": "sent"},
        {"MessageSid": "S\0", "MessageStatus": "sent"},
    ],
)
def test_what_does_not_concern_us_is_nothing(fields: dict[str, str]) -> None:
    assert read(**fields) is None


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_breaks_it(body: str, query: str) -> None:
    read_callback(body, query, received_at=NOW)


def test_a_form_has_an_end() -> None:
    with pytest.raises(ValueError, match="Max number of fields"):
        read_callback("a=1&" * 2000, "", received_at=NOW)
