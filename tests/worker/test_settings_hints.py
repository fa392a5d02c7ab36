from typing import Any

import pytest

from worker.settings import load_settings
from worker.settings_hints import hints

SMTP = {"email_provider": "smtp", "smtp_host": "relay.example"}
TWILIO = {"twilio_account_sid": f"AC{'0' * 32}", "twilio_auth_token": "t"}
HTTPS = {"public_url": "https://desk.example"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, []),
        (SMTP, ["PUBLIC_URL is not set: the links in mails"]),
        ({"email_provider": "sendgrid", "sendgrid_api_key": "k"}, ["PUBLIC_URL is not set: the"]),
        ({**SMTP, "public_url": "http://desk.example"}, ["PUBLIC_URL is not https"]),
        ({**SMTP, **HTTPS}, []),
        (
            {**TWILIO, "twilio_from": "+15005550006"},
            ["PUBLIC_URL is not set: Twilio cannot tell"],
        ),
        ({**TWILIO, **HTTPS}, ["TWILIO_FROM and TWILIO_MESSAGING_SERVICE_SID are not set"]),
        ({**TWILIO, **HTTPS, "twilio_from": "+15005550006"}, []),
        ({**TWILIO, **HTTPS, "twilio_messaging_service_sid": f"MG{'0' * 32}"}, []),
        ({**TWILIO, "sms_provider": "file"}, []),
    ],
    ids=str,
)
def test_what_customers_would_miss_is_said(given: dict[str, Any], said: list[str]) -> None:
    found = hints(load_settings(_env_file=None, **given))

    assert len(found) == len(said)
    assert all(line.startswith(begin) for line, begin in zip(found, said, strict=True))


def test_the_address_that_readers_would_get_is_told() -> None:
    (line,) = hints(load_settings(_env_file=None, host="0.0.0.0", port=8613, **SMTP))  # noqa: S104 - not listened on

    assert "http://127.0.0.1:8613" in line
