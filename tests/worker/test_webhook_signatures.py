"""Signatures as the services make them, and everything that is none."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.clients.stand_ins.sendgrid_events import EventWebhook
from tests.clients.stand_ins.twilio_callbacks import signature_of
from worker.settings import Settings, SettingsError, load_settings
from worker.webhook_signatures import is_from_sendgrid, is_from_twilio
from worker.webhooks import Received

SAMPLE = Path(__file__).parents[2].parent / "shared/samples/sendgrid/signed_event_webhook.json"
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SID, TOKEN = "AC" + "0a" * 16, "auth-token-of-the-tests"
URL = "https://desk.example/api/webhooks/twilio?message_id=0123abc"
FORM = [("MessageSid", "SM1"), ("Body", "Şükrü & Co +1"), ("MessageStatus", "sent"), ("Empty", "")]
SHARED = "shared-key-of-the-tests"


def sendgrid_post(events: EventWebhook, *, at: datetime = NOW) -> Received:
    body, headers = events.signed([{"event": "delivered"}], at=int(at.timestamp()))
    named = {name.lower(): value for name, value in headers.items()}
    return Received(url="https://x.example/", headers=named, body=body, received_at=NOW)


def with_key(text: str) -> Settings:
    return load_settings(sendgrid_webhook_public_key=text)


@pytest.mark.skipif(not SAMPLE.exists(), reason="the samples are not on this machine")
def test_the_signed_sample_verifies_and_no_other() -> None:
    sample: dict[str, Any] = json.loads(SAMPLE.read_text())
    headers = {name.lower(): value for name, value in sample["headers"].items()}
    stamp = int(sample["headers"]["X-Twilio-Email-Event-Webhook-Timestamp"])
    received = Received(
        url="https://x.example/",
        headers=headers,
        body=sample["body"].encode(),
        received_at=datetime.fromtimestamp(stamp, UTC),
    )
    settings = with_key(sample["public_key_base64_der"])
    signature = "x-twilio-email-event-webhook-signature"

    assert is_from_sendgrid(received, settings)
    body = received.body
    assert not is_from_sendgrid(
        replace(received, body=body.replace(b"dropped", b"Dropped")), settings
    )
    assert not is_from_sendgrid(replace(received, body=body.strip()), settings)
    wrong = {**headers, signature: sample["bad_signature"]}
    assert not is_from_sendgrid(replace(received, headers=wrong), settings)
    assert not is_from_sendgrid(received, with_key(sample["other_public_key_base64_der"]))


def test_every_changed_byte_is_noticed() -> None:
    events = EventWebhook()
    settings = with_key(events.public_key)
    received = sendgrid_post(events)

    assert is_from_sendgrid(received, settings)
    for place in range(len(received.body)):
        changed = bytearray(received.body)
        changed[place] ^= 1
        assert not is_from_sendgrid(replace(received, body=bytes(changed)), settings)


@pytest.mark.parametrize("hours", [-25, -24, 0, 24, 25])
def test_repeats_of_a_day_are_taken(hours: int) -> None:
    events = EventWebhook()

    received = sendgrid_post(events, at=NOW + timedelta(hours=hours))

    assert is_from_sendgrid(received, with_key(events.public_key))


@pytest.mark.parametrize("seconds", [-25 * 3600 - 1, 25 * 3600 + 1])
def test_a_recording_is_not_taken(seconds: int) -> None:
    events = EventWebhook()

    received = sendgrid_post(events, at=NOW + timedelta(seconds=seconds))

    assert not is_from_sendgrid(received, with_key(events.public_key))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"signature": "", "timestamp": "1"},
        {"signature": "not base64!", "timestamp": str(int(NOW.timestamp()))},
        {"signature": "AAAA", "timestamp": str(int(NOW.timestamp()))},
        {"signature": "AAAA", "timestamp": "9" * 5000},
        {"signature": "AAAA", "timestamp": "١٧٩٥٠٠٠٠٠٠"},
        {"signature": "ş", "timestamp": str(int(NOW.timestamp()))},
    ],
)
def test_what_is_no_signature_is_refused(headers: dict[str, str]) -> None:
    events = EventWebhook()
    named = {f"x-twilio-email-event-webhook-{name}": value for name, value in headers.items()}
    received = replace(sendgrid_post(events), headers=named)

    assert not is_from_sendgrid(received, with_key(events.public_key))


def test_without_a_key_nobody_is_believed() -> None:
    assert not is_from_sendgrid(sendgrid_post(EventWebhook()), load_settings())
    assert not is_from_twilio(twilio_post(), load_settings())


@pytest.mark.parametrize("key", ["nonsense", "AAAA", base64.b64encode(b"x" * 91).decode()])
def test_a_key_that_is_none_stops_the_start(key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        with_key(key)

    assert refused.value.problems == [
        "SENDGRID_WEBHOOK_PUBLIC_KEY: copy it from SendGrid's settings of the signed event webhook"
    ]


def twilio_post(
    *,
    url: str = URL,
    form: list[tuple[str, str]] | None = None,
    key: str = TOKEN,
    signed_url: str | None = None,
    **headers: str,
) -> Received:
    fields = FORM if form is None else form
    signature = signature_of(signed_url or url, fields, key=key)
    return Received(
        url=url,
        headers={
            "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
            "x-twilio-signature": signature,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        body=urlencode(fields).encode(),
        received_at=NOW,
    )


@pytest.fixture
def settings() -> Settings:
    return load_settings(
        twilio_account_sid=SID,
        twilio_auth_token=f"{TOKEN}\n",
        twilio_webhook_shared_key=SHARED,
    )


def test_a_callback_of_the_account_is_believed(settings: Settings) -> None:
    assert is_from_twilio(twilio_post(), settings)


def test_the_example_of_the_documentation_is_believed() -> None:
    form = [("Digits", "1234"), ("To", "+18005551212"), ("From", "+14158675309"),
            ("Caller", "+14158675309"), ("CallSid", "CA1234567890ABCDE")]  # fmt: skip
    received = replace(
        twilio_post(url="https://mycompany.com/myapp.php?foo=1&bar=2", form=form),
        headers={
            "content-type": "application/x-www-form-urlencoded",
            "x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        },
    )

    assert is_from_twilio(
        received, load_settings(twilio_account_sid=SID, twilio_auth_token="12345")
    )


CHANGES: dict[str, Callable[[Received], Received]] = {
    "a value": lambda one: replace(one, body=one.body.replace(b"sent", b"read")),
    "one more field": lambda one: replace(one, body=one.body + b"&Extra=1"),
    "the query": lambda one: replace(one, url=one.url.replace("0123abc", "0123abd")),
    "the scheme": lambda one: replace(one, url=one.url.replace("https", "http")),
    "no signature": lambda one: with_header(one, "x-twilio-signature", ""),
    "no ASCII": lambda one: with_header(one, "x-twilio-signature", "ş"),
    "no UTF-8 in the signature": lambda one: with_header(
        one, "x-twilio-signature", b"\xff\xfe".decode(errors="surrogateescape")
    ),
    "no UTF-8 in the URL": lambda one: replace(one, url=f"{one.url}&x=\udcff"),
    "no UTF-8": lambda one: replace(one, body=b"\xff\xfe"),
    "too many fields": lambda one: replace(one, body=b"a=1&" * 2000),
    "no port": lambda one: replace(one, url="https://desk.example:port/"),
    "no form": lambda one: with_header(one, "content-type", "text/plain"),
}


def with_header(received: Received, name: str, value: str) -> Received:
    return replace(received, headers={**received.headers, name: value})


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_on_the_way_is_refused(settings: Settings, change: str) -> None:
    assert not is_from_twilio(CHANGES[change](twilio_post()), settings)


@pytest.mark.parametrize(
    ("url", "signed_url"),
    [
        ("https://desk.example/w?a=1", "https://desk.example:443/w?a=1"),
        ("https://desk.example:443/w?a=1", "https://desk.example/w?a=1"),
        ("http://desk.example/w", "http://desk.example:80/w"),
        ("https://desk.example:8443/w", "https://desk.example/w"),
        ("https://[::1]:8443/w", "https://[::1]/w"),
    ],
)
def test_a_port_may_be_signed_or_not(settings: Settings, url: str, signed_url: str) -> None:
    assert is_from_twilio(twilio_post(url=url, signed_url=signed_url), settings)


def test_repeated_names_are_signed_by_each_value_once(settings: Settings) -> None:
    form = [("MediaUrl", "b"), ("MediaUrl", "a"), ("MediaUrl", "b"), ("Body", "x")]

    assert is_from_twilio(twilio_post(form=form), settings)


def test_json_is_signed_by_its_digest(settings: Settings) -> None:
    body = b'{"MessageSid": "SM1"}'
    url = f"{URL}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    received = replace(twilio_post(url=url, form=[], content_type="application/json"), body=body)

    assert is_from_twilio(received, settings)
    assert not is_from_twilio(replace(received, body=body + b" "), settings)


def test_json_without_a_digest_is_signed_by_nobody(settings: Settings) -> None:
    received = twilio_post(form=[], content_type="application/json")

    assert not is_from_twilio(replace(received, body=b'{"MessageSid": "SM1"}'), settings)


def test_a_shared_key_signs_with_sha256(settings: Settings) -> None:
    signature = signature_of(URL, FORM, key=SHARED, algorithm="HMAC_SHA256")
    named = {"x-twilio-webhooks-signature-settings": "key=webhooks_1,algorithm=HMAC_SHA256"}
    received = twilio_post()
    signed = replace(
        received, headers={**received.headers, **named, "x-twilio-signature": signature}
    )

    assert is_from_twilio(signed, settings)
    without = load_settings(twilio_account_sid=SID, twilio_auth_token=TOKEN)
    assert not is_from_twilio(signed, without)


@pytest.mark.parametrize("algorithm", ["none", "NONE", "HMAC_MD5", "HMAC_SHA256"])
def test_the_header_does_not_choose_a_weaker_check(settings: Settings, algorithm: str) -> None:
    name = "x-twilio-webhooks-signature-settings"
    received = twilio_post()

    named = {**received.headers, name: f"key=1,algorithm={algorithm}"}

    assert not is_from_twilio(replace(received, headers=named), settings)
