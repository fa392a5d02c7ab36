import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import NoReturn
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr
from typing_extensions import override

from clients.mail import Mail
from worker.telemetry.redaction import MASK, MAX_ITEMS, MAX_VALUES, is_sensitive, redact

RUN_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


class Color(Enum):
    RED = "red"


class Settings(BaseModel):
    api_token: SecretStr
    url: str
    note: str = Field(default="hidden", repr=False)


@dataclass
class Visit:
    owner_name: str
    pet: str
    diary: str = field(default="hidden", repr=False)


class Hostile:
    @override
    def __repr__(self) -> NoReturn:
        raise RuntimeError("no")


class HostileError(Exception):
    @override
    def __str__(self) -> NoReturn:
        raise RuntimeError("no")


HIDING = """
    password smtp_password userPassword DB-PASSWORD passwords access_token refreshToken
    api_key X-API-Key apiKey2 client_secret SECRET authorization Set-Cookie session session_id
    csrf_token email to_email emails customerEmail phone phone_1 phone_number gsm address
    ip_address billing_addresses client_ip iban card cardNumber cvv pan tckn tc_no tax_number
    vkn ssn first_name lastName full_name surname contact_name to_name birth_date
    date_of_birth private_key dsn SENTRY_DSN eposta telefon soyad sifre parola
"""
NOT_HIDING = """
    run_id job queue attempt correlation_id tenant_id name filename hostname zip ship_on tip
    timespan company token_count max_tokens next_page_token lease_token email_count
    emails_sent session_count scoreboard idempotency_key key address_count mailbox_size recipe
    span
"""


@pytest.mark.parametrize("name", HIDING.split())
def test_names_that_hide_their_values(name: str) -> None:
    assert is_sensitive(name)


@pytest.mark.parametrize("name", NOT_HIDING.split())
def test_names_that_do_not(name: str) -> None:
    assert not is_sensitive(name)


def test_nested_values_are_redacted_at_any_depth() -> None:
    value = {
        "run_id": RUN_ID,
        "user": {"first_name": "Ada", "tags": ["vip", "ada@example.com"]},
        "headers": [{"Authorization": "Bearer x"}],
        "total": Decimal("12.50"),
    }

    assert redact(value) == {
        "run_id": RUN_ID,
        "user": {"first_name": MASK, "tags": ["vip", "[email]"]},
        "headers": [{"Authorization": MASK}],
        "total": "12.50",
    }


def test_what_says_nothing_stays_readable() -> None:
    value = {"password": None, "has_token": True, "token": "", "emails": 3, "email": {"ready": 2}}

    assert redact(value) == value


def test_numbers_under_a_sensitive_name_are_hidden() -> None:
    assert redact({"phone": 905321234567, "pin": 1234}) == {"phone": MASK, "pin": MASK}


def test_keys_are_texts_too() -> None:
    assert redact({"ada@example.com": 1, 7: 2, UUID(RUN_ID): 3, Color.RED: 4}) == {
        "[email]": 1,
        "7": 2,
        RUN_ID: 3,
        "red": 4,
    }


def test_objects_show_only_what_they_would_print() -> None:
    settings = Settings(api_token=SecretStr("x"), url="redis://:x@cache")
    mail = Mail(template="welcome", to="a@b.co", subject="Hi", text="Hello", html="<p>")

    assert redact(settings) == {"api_token": MASK, "url": "redis://[credentials]@cache"}
    assert redact(Visit("Ada", "Rex")) == {"owner_name": MASK, "pet": "Rex"}
    assert redact(mail) == {
        "template": "welcome",
        "attachments": [],
        "language": "en",
        "sender": None,
        "event": None,
        "template_version": "",
        "template_name": "",
    }
    assert redact(ValueError("bad ada@example.com")) == {
        "type": "ValueError",
        "message": "bad [email]",
    }


def test_everything_becomes_json() -> None:
    value = {
        "at": datetime(2026, 11, 21, 9, tzinfo=UTC),
        "on": date(2026, 11, 21),
        "took": timedelta(seconds=1.5),
        "file": b"%PDF",
        "color": Color.RED,
        "path": Path("var") / "storage",
        "nan": float("nan"),
        "set": {1},
        "type": Visit,
        "big": 1 << 4000,
        "secret_value": SecretStr("x"),
    }

    assert json.loads(json.dumps(redact(value), allow_nan=False)) == {
        "at": "2026-11-21T09:00:00+00:00",
        "on": "2026-11-21",
        "took": 1.5,
        "file": "[4 bytes]",
        "color": "red",
        "path": "var/storage",
        "nan": "nan",
        "set": [1],
        "type": "Visit",
        "big": "[integer of 4001 bits]",
        "secret_value": MASK,
    }


def test_objects_that_raise_when_looked_at_do_no_harm() -> None:
    assert redact([Hostile(), HostileError()]) == [
        "[unprintable Hostile]",
        "[unprintable HostileError]",
    ]
    assert redact({Hostile(): 1}) == "[unprintable dict]"


def test_size_and_depth_are_bounded() -> None:
    loop: dict[str, object] = {}
    loop["loop"] = loop

    assert "[too deep]" in json.dumps(redact(loop))
    assert redact(list(range(MAX_ITEMS + 5)))[-2:] == [198, "[6 more]"]  # type: ignore[index]  # it is a list
    assert len(json.dumps(redact([[[0] * 150] * 150] * 150))) < 10 * MAX_VALUES


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(st.one_of(st.text(), st.sampled_from(["email", "tokens", "ip"])), inner),
    ),
    max_leaves=50,
)


@settings(deadline=None)  # other work on the machine is no failure
@given(JSON)
def test_twice_is_as_once(value: object) -> None:
    once = redact(value)

    json.dumps(once, allow_nan=False)
    assert redact(once) == once
