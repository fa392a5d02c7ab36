import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from worker.settings import Settings, SettingsError, load_settings
from worker.settings_docs import env_example, shown

ROOT = Path(__file__).parents[2]
SECRETS = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if SecretStr.__name__ in str(field.annotation)
}
URLS = {
    "redis_url": "rediss://me:{}@h:6380/0?password={}#{}",
    "database_url": "postgresql://me:{}@h/d?password={}",
    "sentry_dsn": "https://{}@o1.ingest.sentry.io/42",
}
WEBHOOK = {
    "alert_webhook_url": "https://hooks.example.com/canary?key=canary",
    "alert_webhook_secret": "whsec_" + "canarycanary" * 4,
}


def lines() -> Iterator[tuple[str, str]]:
    """Names and values of `.env.example`, as if nothing were commented out."""
    for line in env_example().splitlines():
        if match := re.fullmatch(r"#([A-Z_]+)=(.*)", line):
            yield match[1], match[2]


def test_the_file_at_the_root_is_the_generated_one() -> None:
    assert (ROOT / ".env.example").read_text() == env_example(), "run `make docs`"


def test_the_example_has_every_setting_once_with_what_it_is_for() -> None:
    single = [name for name in Settings.model_fields if name != "schedules"]
    assert [name for name, _ in lines()] == [name.upper() for name in single]
    for name in single:
        field = Settings.model_fields[name]
        assert f"\n# {field.description}\n#{name.upper()}=" in env_example()


def test_the_example_shows_how_the_settings_of_schedules_are_called() -> None:
    description = Settings.model_fields["schedules"].description

    assert f"\n# {description}\n#SCHEDULE_<JOB>=\n" in env_example()


def test_an_example_nobody_changed_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(env_example())

    assert dotenv_values(tmp_path / ".env") == {}


def test_an_example_without_its_comment_signs_is_what_holds_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in lines()))
    monkeypatch.chdir(tmp_path)
    defaults = load_settings()

    monkeypatch.setitem(Settings.model_config, "env_file", ".env")

    assert load_settings() == defaults


def test_the_settings_that_are_secret_are_known() -> None:
    assert set(SECRETS) >= {
        "redis_url", "redis_password", "database_url", "supabase_service_role_key",
        "smtp_password", "sendgrid_api_key", "twilio_auth_token", "sentry_dsn", "jwt_secret",
        "admin_token", "admin_users",
    }  # fmt: skip


@pytest.mark.parametrize(
    "canary", ["canary" * 6, "canary:" + "canary" * 6, "https://canary@" + "canary" * 6]
)
@pytest.mark.parametrize("name", sorted({*SECRETS} - {*URLS, *WEBHOOK, "admin_users"}))
def test_nothing_of_a_secret_is_shown(name: str, canary: str) -> None:
    needed = {"database_url": "postgresql://h/d", "twilio_account_sid": "AC" + "0" * 32}
    needed |= {"smtp_username": "u"} if name == "smtp_password" else {}
    needed |= {} if name == "twilio_auth_token" else {"twilio_auth_token": "t"}

    settings = load_settings(**{**needed, name: canary})

    assert getattr(settings, name).get_secret_value() == canary
    assert "canary" not in str(shown(settings))


def test_nothing_of_the_webhook_is_shown() -> None:
    """Its address may hold a secret, too: many receivers have no other."""
    assert "canary" not in str(shown(load_settings(**WEBHOOK)))


def test_nothing_of_those_who_sign_in_is_shown() -> None:
    digest = "canary" * 7 + "A"
    settings = load_settings(admin_users=f"canary:admin:scrypt$2$1$1${'canary' * 4}${digest}")

    assert "canary" not in str(shown(settings))


@pytest.mark.parametrize("name", URLS)
def test_a_url_is_shown_without_what_is_secret_in_it(name: str) -> None:
    settings = load_settings(**{name: URLS[name].format("canary", "canary", "canary")})

    assert "canary" not in str(shown(settings))


@pytest.mark.parametrize("password", ["canary/x", "can?ary", "can#ary"])
def test_a_password_that_breaks_its_url_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(SettingsError, match="quote special characters") as refused:
        load_settings(redis_url=f"redis://:{password}@h:6379/0")

    assert password not in str(refused.value)


@pytest.mark.parametrize("password", ["c@canary", ":canary:"])
def test_a_password_that_should_have_been_quoted_is_not_shown_either(password: str) -> None:
    settings = load_settings(
        redis_url=f"redis://:{password}@h:6379/0", database_url=f"postgresql://u:{password}@h/d"
    )

    assert not re.search("can|ary", str(shown(settings)))


@pytest.mark.parametrize("name", ["otel_exporter_otlp_endpoint", "sendgrid_url"])
def test_a_login_in_any_other_url_is_not_shown_either(name: str) -> None:
    settings = load_settings(**{name: "https://user:canary@h/"})

    assert "canary" not in str(shown(settings))


def test_the_server_of_a_url_is_shown_because_an_operator_asks_for_it() -> None:
    settings = load_settings(
        redis_url="rediss://me:secret@cache:6380/2", database_url="postgresql://db:5432/deskhand"
    )

    assert shown(settings)["REDIS_URL"] == "rediss://***@cache:6380/2"
    assert shown(settings)["DATABASE_URL"] == "postgresql://db:5432/deskhand"


def test_everything_else_is_shown_as_it_would_be_written() -> None:
    settings = load_settings(
        worker_queues=("email", "sync"),
        queue_concurrency={"email": 3},
        schedules={"SCHEDULE_EMAIL_FIND_DUE_REMINDERS": "off"},
    )

    values = shown(settings)

    single = [name.upper() for name in Settings.model_fields if name != "schedules"]
    assert list(values) == [*single, "SCHEDULE_EMAIL_FIND_DUE_REMINDERS"]
    assert values["WORKER_QUEUES"] == "email,sync"
    assert values["QUEUE_CONCURRENCY"] == '{"email": 3}'
    assert (values["PORT"], values["VAR_DIR"], values["REDIS_HOST"]) == ("8500", "var", "")
