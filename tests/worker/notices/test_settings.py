"""What is read of who is told, and what stops the start."""

import base64
from datetime import timedelta

import pytest

from clients.webhook import keys_of
from worker.settings import SettingsError, load_settings

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
URL = "https://hooks.example.com/x"
WEBHOOK = {"ALERT_WEBHOOK_URL": URL, "ALERT_WEBHOOK_SECRET": SECRET}


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"ALERT_EMAIL": "ops@example.com,nobody"}, "ALERT_EMAIL: it is addresses separated by"),
        ({"ALERT_EMAIL": ",".join(f"a{n}@b.co" for n in range(21))}, "ALERT_EMAIL: it is 20"),
        ({"ALERT_WEBHOOK_URL": URL}, "ALERT_WEBHOOK_SECRET: ALERT_WEBHOOK_URL and"),
        ({"ALERT_WEBHOOK_SECRET": SECRET}, "ALERT_WEBHOOK_URL: ALERT_WEBHOOK_URL and"),
        (WEBHOOK | {"ALERT_WEBHOOK_SECRET": "hunter2"}, "ALERT_WEBHOOK_SECRET: it is base64 of"),
        (WEBHOOK | {"ALERT_WEBHOOK_SECRET": ", ,"}, "ALERT_WEBHOOK_SECRET: it has no key"),
        (WEBHOOK | {"ALERT_WEBHOOK_URL": "http://hooks.example.com"}, "ALERT_WEBHOOK_URL: it is a"),
        (WEBHOOK | {"ALERT_WEBHOOK_URL": "https://[::1"}, "ALERT_WEBHOOK_URL: it is a URL"),
        (WEBHOOK | {"ALERT_WEBHOOK_URL": "https://a:b@h/"}, "ALERT_WEBHOOK_URL: it is a URL"),
        (WEBHOOK | {"ALERT_WEBHOOK_URL": "https://10.0.0.7/x"}, "ALERT_WEBHOOK_URL: its host is"),
        ({"ALERT_LANGUAGE": "de"}, "ALERT_LANGUAGE: Input should be 'en' or 'tr'"),
        ({"ALERT_FAILURES": "-1"}, "ALERT_FAILURES: Input should be greater than or equal to 0"),
        ({"ALERT_WINDOW": "5"}, "ALERT_WINDOW: Input should be greater than or equal to 60"),
        ({"ALERT_WAITING_BY_QUEUE": '{"mail": 5}'}, "ALERT_WAITING_BY_QUEUE: there is no queue"),
        ({"ALERT_WAITING_BY_QUEUE": "5"}, "ALERT_WAITING_BY_QUEUE: "),
    ],
)
def test_what_is_wrong_stops_the_start_with_one_line(
    environment: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as told:
        load_settings()

    (line,) = told.value.problems
    assert line.startswith(sentence)
    assert "hunter2" not in line


def test_all_of_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    other = base64.b64encode(b"o" * 24).decode()
    for name, value in {
        "ALERT_EMAIL": "Ops@Müşteri.com.tr, ada@example.com,ada@example.com",
        "ALERT_WEBHOOK_URL": "https://10.0.0.7:8443/x?y=z",
        "ALERT_WEBHOOK_SECRET": f"{SECRET},{other}",
        "ALERT_WEBHOOK_PRIVATE": "true",
        "ALERT_FAILURES": "20",
        "ALERT_WINDOW": "3600",
        "ALERT_WAITING_BY_QUEUE": '{"document": 500, "risk": 0}',
        "ALERT_REPEAT": "7200",
    }.items():
        monkeypatch.setenv(name, value)

    settings = load_settings()

    assert settings.alert_email == ("Ops@xn--mteri-kva70e.com.tr", "ada@example.com")
    assert settings.alert_webhook is not None
    assert settings.alert_webhook.keys == keys_of(f"{SECRET},{other}") == (b"k" * 32, b"o" * 24)
    rules = settings.notice_rules
    assert (rules.failures, rules.window) == (20, timedelta(hours=1))
    assert rules.repeat == timedelta(hours=2)
    assert [rules.most_waiting(name) for name in ("document", "risk", "email")] == [500, 0, 100]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/x", "http://localhost/x", "https://[::1]/"])
def test_this_machine_may_be_told_without_tls(url: str) -> None:
    settings = load_settings(alert_webhook_url=url, alert_webhook_secret=SECRET)

    assert settings.alert_webhook is not None
    assert settings.alert_webhook.url == url


def test_nothing_set_tells_nobody_outside() -> None:
    settings = load_settings()

    assert (settings.alert_email, settings.alert_webhook) == ((), None)
    assert (settings.alert_failures, settings.alert_waiting) == (5, 100)
