"""Acceptance rows V-01 to V-09: what is read, what it means, and what stops the start."""

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from redis.connection import parse_url

from jobs.kit import QUEUES
from worker.settings import Settings, SettingsError, export, load_settings

SUPABASE = "https://abcdefgh.supabase.co"
SID, JWT_SECRET = "AC" + "0123456789abcdef" * 2, "s" * 32
# ASCII's punctuation is what breaks URLs; NUL and surrogates no server takes.
PASSWORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


class ReadSettings(Protocol):
    def __call__(self, **environment: str) -> Settings: ...


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> ReadSettings:
    """The settings of exactly this environment."""
    monkeypatch.delenv("NEXT_PUBLIC_SUPABASE_URL", raising=False)

    def read(**environment: str) -> Settings:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return load_settings()

    return read


class ReadProblems(Protocol):
    def __call__(self, **environment: str) -> list[str]: ...


@pytest.fixture
def problems(read: ReadSettings) -> ReadProblems:
    """The lines that this environment stops the start with, each for one setting."""

    def problems(**environment: str) -> list[str]:
        with pytest.raises(SettingsError) as refused:
            read(**environment)
        lines = refused.value.problems
        assert str(refused.value).splitlines()[1:] == lines
        assert all(re.match(r"(\.env|[A-Z_]+(\.[A-Z-]+)?): \S", line) for line in lines)
        return lines

    return problems


def understood(dsn: str | None) -> dict[str, Any]:
    """What redis-py makes of this URL."""
    return dict(parse_url(dsn))


def test_a_machine_without_settings_has_all_defaults(read: ReadSettings) -> None:
    settings = read()

    assert (settings.service_name, settings.host, settings.port) == (
        "worker-service",
        "127.0.0.1",
        8500,
    )
    assert (settings.keep_completed, settings.keep_failed, settings.keep_days) == (100, 500, 30)
    assert (settings.environment, settings.log_level) == ("development", "info")
    assert settings.worker_queues == tuple(QUEUES)
    assert (settings.email_provider, settings.storage_type) == ("file", "local")
    assert settings.redis_dsn is None
    assert settings.database_dsn is None
    assert settings.storage_path == Path("var/storage")
    assert settings.shutdown_grace == 25


def test_the_service_is_named_by_the_environment(read: ReadSettings) -> None:
    settings = read(SERVICE_NAME="crm-worker", PORT="9000", HOST="10.0.0.5")

    assert (settings.service_name, settings.port, settings.host) == ("crm-worker", 9000, "10.0.0.5")


@pytest.mark.parametrize("name", ["ENVIRONMENT", "NODE_ENV"])
def test_where_it_runs_has_two_names(read: ReadSettings, name: str) -> None:
    assert read(**{name: "production"}).environment == "production"


def test_of_the_two_names_environment_wins(read: ReadSettings) -> None:
    assert read(ENVIRONMENT="staging", NODE_ENV="production").environment == "staging"


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_an_empty_value_counts_as_unset(read: ReadSettings, name: str) -> None:
    assert read(**{name: ""}) == load_settings()


def test_settings_cannot_be_changed_afterwards(read: ReadSettings) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read().port = 1  # type: ignore[misc] # the mistake


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:1/2",
        "redis://:secret@h:1/2",
        "rediss://user:secret@h:6380/0",
        "unix:///run/valkey.sock",
        "redis+sentinel://user:secret@h1:26379,h2:26379/mymaster/0",
        "redis+cluster://user:secret@h1:7000,h2:7001/desk",
        "rediss+cluster://h1:7000",
    ],
)
def test_a_redis_url_is_taken_as_it_is(read: ReadSettings, url: str) -> None:
    assert read(REDIS_URL=url).redis_dsn == url


def test_redis_may_be_named_by_host_port_and_password(read: ReadSettings) -> None:
    environment = {"REDIS_HOST": "cache", "REDIS_PORT": "6380", "REDIS_PASSWORD": "secret"}

    assert read(REDIS_HOST="cache").redis_dsn == "redis://cache:6379"
    assert read(**environment).redis_dsn == "redis://:secret@cache:6380"


def test_the_redis_url_wins_over_host_port_and_password(read: ReadSettings) -> None:
    url = "redis://:ours@h:1/2"
    others = {"REDIS_HOST": "cache", "REDIS_PORT": "6380", "REDIS_PASSWORD": "theirs"}

    assert read(REDIS_URL=url, **others).redis_dsn == url


@pytest.mark.parametrize(
    ("url", "dsn"),
    [
        ("redis://h:1/2", "redis://:p%40%2F@h:1/2"),
        ("rediss://user@h:1/2", "rediss://user:p%40%2F@h:1/2"),
        ("unix:///run/valkey.sock", "unix://:p%40%2F@/run/valkey.sock"),
        ("redis+sentinel://h1:1,h2:2/m/0", "redis+sentinel://:p%40%2F@h1:1,h2:2/m/0"),
        ("redis+cluster://h1:1,h2:2/m", "redis+cluster://:p%40%2F@h1:1,h2:2/m"),
    ],
)
def test_a_redis_url_without_password_takes_the_one_beside_it(
    read: ReadSettings, url: str, dsn: str
) -> None:
    assert read(REDIS_URL=url, REDIS_PASSWORD="p@/").redis_dsn == dsn


def test_a_socket_is_understood_as_one(read: ReadSettings) -> None:
    options = understood(read(REDIS_URL="unix:///run/valkey.sock?db=3").redis_dsn)

    assert (options["path"], options["db"]) == ("/run/valkey.sock", 3)


@given(PASSWORDS, st.sampled_from([{"redis_host": "h"}, {"redis_url": "redis://me@h:1/0"}]))
def test_any_password_reaches_redis_as_it_is(password: str, server: dict[str, Any]) -> None:
    settings = load_settings(**server, redis_password=password)

    options = understood(settings.redis_dsn)
    assert (options["password"], options["host"]) == (password, "h")


def test_an_ipv6_host_is_written_in_brackets(read: ReadSettings) -> None:
    options = understood(read(REDIS_HOST="::1").redis_dsn)

    assert (options["host"], options["port"]) == ("::1", 6379)


@pytest.mark.parametrize(
    "environment",
    [
        {"SUPABASE_URL": SUPABASE},
        {"NEXT_PUBLIC_SUPABASE_URL": SUPABASE},
        {"SUPABASE_SERVICE_ROLE_KEY": "canary"},
        {"SUPABASE_URL": SUPABASE, "SUPABASE_SERVICE_ROLE_KEY": "canary"},
    ],
)
def test_supabase_alone_is_told_where_the_connection_string_is(
    problems: ReadProblems, environment: dict[str, str]
) -> None:
    (line,) = problems(**environment)

    assert line.startswith("DATABASE_URL: ")
    assert "copy the connection string from the Supabase dashboard (Connect > " in line


def test_supabase_beside_a_database_url_is_fine(read: ReadSettings) -> None:
    url = "postgresql://postgres:secret@db.abcdefgh.supabase.co:5432/postgres"

    assert read(SUPABASE_URL=SUPABASE, DATABASE_URL=url).database_dsn == url


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"EMAIL_PROVIDER": "sendgrid"}, "SENDGRID_API_KEY: EMAIL_PROVIDER=sendgrid needs it"),
        ({"EMAIL_PROVIDER": "smtp"}, "SMTP_HOST: EMAIL_PROVIDER=smtp needs it"),
        ({"SMTP_USERNAME": "ada"}, "SMTP_PASSWORD: SMTP_USERNAME needs it"),
        (
            {"SMTP_USERNAME": "ada", "SMTP_PASSWORD": "canary", "SMTP_SECURITY": "none"},
            "SMTP_SECURITY: a login needs starttls or tls",
        ),
        ({"SMTP_PORT": "465"}, "SMTP_SECURITY: port 465 wants tls"),
        ({"SMTP_SECURITY": "tls"}, "SMTP_SECURITY: port 587 wants starttls"),
        ({"SMTP_HOST": "mail:587"}, "SMTP_HOST: say the port in SMTP_PORT"),
        (
            {"SMTP_CA_FILE": "/nowhere/ca.pem"},
            "SMTP_CA_FILE: there is no file with PEM certificates",
        ),
        (
            {"TWILIO_ACCOUNT_SID": SID},
            "TWILIO_AUTH_TOKEN: it and TWILIO_ACCOUNT_SID need each other",
        ),
        (
            {"TWILIO_AUTH_TOKEN": "canary"},
            "TWILIO_AUTH_TOKEN: it and TWILIO_ACCOUNT_SID need each other",
        ),
        (
            {"SMS_PROVIDER": "twilio"},
            "TWILIO_ACCOUNT_SID: SMS_PROVIDER=twilio needs it",
        ),
    ],
)
def test_what_is_chosen_without_what_it_needs_stops_the_start(
    problems: ReadProblems, environment: dict[str, str], line: str
) -> None:
    assert problems(**environment) == [line]


def test_a_file_without_certificates_stops_the_start(
    problems: ReadProblems, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate\n")

    for path in (tmp_path / "ca.pem", tmp_path):
        (line,) = problems(SMTP_CA_FILE=str(path))
        assert line == "SMTP_CA_FILE: there is no file with PEM certificates"


@pytest.mark.parametrize(
    "environment",
    [
        {"EMAIL_PROVIDER": "sendgrid", "SENDGRID_API_KEY": "SG.x"},
        {"EMAIL_PROVIDER": "smtp", "SMTP_HOST": "mail"},
        {"EMAIL_PROVIDER": "smtp", "SMTP_HOST": "mail", "SMTP_SECURITY": "none"},
        {"EMAIL_PROVIDER": "smtp", "SMTP_HOST": "mail", "SMTP_PORT": "25"},
        {"EMAIL_PROVIDER": "smtp", "SMTP_HOST": "2001:db8::25"},
        {"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": "t"},
        {"TWILIO_FROM": "+15005550006"},
        {"TWILIO_FROM": "Anadolu"},
        {"TWILIO_MESSAGING_SERVICE_SID": SID.replace("AC", "MG")},
        {"JWT_SECRET": JWT_SECRET},
        {"SENTRY_DSN": "https://key@o1.ingest.sentry.io/42"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
        {"LOG_LEVEL": "WARNING"},
        {"PORT": "0"},
    ],
)
def test_what_fits_starts(read: ReadSettings, environment: dict[str, str]) -> None:
    assert isinstance(read(**environment), Settings)


def test_each_mail_provider_gets_its_own_settings(read: ReadSettings) -> None:
    settings = read(SMTP_HOST="mail", SMTP_PORT="465", SMTP_SECURITY="tls", SENDGRID_API_KEY="SG.x")

    smtp, sendgrid = settings.smtp, settings.sendgrid
    assert (smtp.host, smtp.port, smtp.security) == ("mail", 465, "tls")
    assert sendgrid.api_key.get_secret_value() == "SG.x"


@pytest.mark.parametrize(
    ("environment", "provider"),
    [
        ({}, "file"),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": "t"}, "twilio"),
        ({"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": "t", "SMS_PROVIDER": "file"}, "file"),
    ],
)
def test_sms_go_to_files_until_there_is_an_account(
    read: ReadSettings, environment: dict[str, str], provider: str
) -> None:
    assert read(**environment).sms_is_sent_by == provider


def test_twilio_calls_back_where_we_are_known(read: ReadSettings) -> None:
    account = {"TWILIO_ACCOUNT_SID": SID, "TWILIO_AUTH_TOKEN": "t", "TWILIO_FROM": "+15005550006"}

    known = read(PUBLIC_URL="https://desk.example/", **account)
    twilio = known.twilio(status_callback=known.status_callback)

    assert twilio.status_callback == "https://desk.example/api/webhooks/twilio"
    assert (twilio.account_sid, twilio.sender) == (SID, "+15005550006")


def test_nobody_calls_back_where_we_are_not_known(read: ReadSettings) -> None:
    assert read().status_callback is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "canary"),
        ("PORT", "canary"),
        ("PORT", "65536"),
        ("TIMEZONE", "Canary/Islands"),
        ("ENVIRONMENT", "canary"),
        ("WORKER_QUEUES", ","),
        ("QUEUE_CONCURRENCY", "{canary"),
        ("QUEUE_CONCURRENCY", '["canary"]'),
        ("QUEUE_ATTEMPTS", "canary"),
        ("QUEUE_BACKOFF", '"canary"'),
        ("JWT_SECRET", "canary"),
        ("SENTRY_DSN", "canary"),
        ("SENTRY_DSN", "https://canary.ingest.sentry.io/42"),
        ("SENTRY_DSN", "https://canary@o1.ingest.sentry.io/"),
        ("SENTRY_DSN", "https://key@o1.ingest.sentry.io/canary"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "canary"),
        ("PUBLIC_URL", "canary"),
        ("REDIS_URL", "http://canary"),
        ("REDIS_URL", "redis://[canary"),
        ("REDIS_PORT", "0"),
        ("DATABASE_URL", "mysql://root:canary@h/d"),
        ("EMAIL_PROVIDER", "canary"),
        ("EMAIL_FROM", "canary"),
        ("TWILIO_ACCOUNT_SID", "canary"),
        ("TWILIO_FROM", "canary that is long"),
        ("TWILIO_AUTH_TOKEN", "canary and more"),
        ("SENDGRID_API_KEY", "SG.canaryş"),
        ("TWILIO_MESSAGING_SERVICE_SID", "canary"),
        ("TWILIO_URL", "canary"),
        ("SMS_PROVIDER", "canary"),
        ("SENDGRID_WEBHOOK_PUBLIC_KEY", "canary"),
        ("STORAGE_TYPE", "canary"),
        ("RUN_LEASE", "1"),
        ("SHUTDOWN_GRACE", "-1"),
        ("KEEP_COMPLETED", "-1"),
        ("KEEP_FAILED", "canary"),
        ("KEEP_DAYS", "0"),
        ("LOG_RUNS", "canary"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_name_and_without_the_value(
    problems: ReadProblems, name: str, value: str
) -> None:
    (line,) = problems(**{name: value})

    assert line.partition(": ")[0] == name
    assert "canary" not in line.lower()


@pytest.mark.parametrize("value", ['{"email": 0}', '{"email": -1}', '{"email": "canary"}'])
@pytest.mark.parametrize("name", ["QUEUE_CONCURRENCY", "QUEUE_ATTEMPTS", "QUEUE_BACKOFF"])
def test_a_wrong_number_for_a_queue_names_the_queue(
    problems: ReadProblems, name: str, value: str
) -> None:
    (line,) = problems(**{name: value})

    assert line.startswith(f"{name}.EMAIL: Input should be ")


@pytest.mark.parametrize(
    ("name", "value"), [("WORKER_QUEUES", "email,emial"), ("QUEUE_ATTEMPTS", '{"emial": 3}')]
)
def test_a_queue_that_does_not_exist_is_answered_with_the_list(
    problems: ReadProblems, name: str, value: str
) -> None:
    line = f"{name}: there is no queue emial; choose from {', '.join(QUEUES)}"

    assert problems(**{name: value}) == [line]


@pytest.mark.parametrize("seconds", ["7200", "1e400"])
def test_a_first_wait_beyond_the_longest_stops_the_start_with_a_line(
    problems: ReadProblems, seconds: str
) -> None:
    (line,) = problems(QUEUE_BACKOFF=f'{{"email": {seconds}}}')

    assert line.startswith("QUEUE_BACKOFF")


@pytest.mark.parametrize("name", ["SHUTDOWN_GRACE", "RUN_LEASE", "UNKNOWN_JOB_GRACE"])
def test_an_endless_wait_stops_the_start_with_a_line(problems: ReadProblems, name: str) -> None:
    (line,) = problems(**{name: "inf"})

    assert line.startswith(f"{name}: ")


def test_every_wrong_setting_gets_its_line_at_once(problems: ReadProblems) -> None:
    lines = problems(PORT="x", LOG_LEVEL="loud", JWT_SECRET="canary")

    assert [line.partition(":")[0] for line in lines] == ["PORT", "LOG_LEVEL", "JWT_SECRET"]


def test_what_does_not_fit_together_is_told_at_once_too(problems: ReadProblems) -> None:
    lines = problems(EMAIL_PROVIDER="smtp", SUPABASE_URL=SUPABASE, TWILIO_AUTH_TOKEN="canary")

    names = [line.partition(":")[0] for line in lines]
    assert names == ["SMTP_HOST", "TWILIO_AUTH_TOKEN", "DATABASE_URL"]


def test_a_refused_value_hides_from_tracebacks_too(read: ReadSettings) -> None:
    with pytest.raises(SettingsError) as refused:
        read(JWT_SECRET="canary", DATABASE_URL="mysql://canary")

    assert (refused.value.__cause__, refused.value.__suppress_context__) == (None, True)
    assert "canary" not in f"{refused.value!r} {refused.value}"


def test_settings_show_no_secret_when_they_are_printed(read: ReadSettings) -> None:
    settings = read(REDIS_PASSWORD="canary", DATABASE_URL="postgresql://u:canary@h/d")

    assert "canary" not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.fixture
def dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The `.env` of an empty working directory, read as it is in production."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")
    return tmp_path / ".env"


def test_a_dotenv_file_serves_for_what_the_environment_does_not_say(
    read: ReadSettings, dotenv: Path
) -> None:
    dotenv.write_text("# ours\nexport PORT=9000\nSERVICE_NAME='from the file'\nMINE=1\nHOST=\n")

    settings = read(SERVICE_NAME="from the environment")

    assert (settings.port, settings.service_name) == (9000, "from the environment")
    assert settings.host == "127.0.0.1"


def test_a_command_reads_the_dotenv_file_of_its_working_directory(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=9000\nJWT_SECRET=canary\n")

    command = [sys.executable, "-m", "worker", "config", "check"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "LOG_LEVEL": "loud"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )

    assert done.returncode == 78
    assert [line.partition(":")[0] for line in done.stderr.splitlines()[1:]] == [
        "LOG_LEVEL",
        "JWT_SECRET",
    ]


def test_a_dotenv_file_with_a_byte_that_is_not_utf8_stops_the_start_with_a_line(
    problems: ReadProblems, dotenv: Path
) -> None:
    dotenv.write_bytes("SERVICE_NAME=ışık".encode("cp1254"))

    (line,) = problems()

    assert line.startswith(".env")


def test_the_urls_of_private_services_reach_whoever_reads_settings_later(
    read: ReadSettings,
) -> None:
    read(REDIS_URL="redis://before")  # so that monkeypatch puts the environment back

    export(redis_url="redis://private")

    assert load_settings().redis_dsn == "redis://private"


def test_queues_are_shaped_by_their_settings(read: ReadSettings) -> None:
    queues = read(
        QUEUE_CONCURRENCY='{"document": 8}',
        QUEUE_ATTEMPTS='{"document": 4}',
        QUEUE_BACKOFF='{"document": 7.5}',
    ).queues()

    document = queues["document"]
    assert (document.concurrency, document.retry.attempts) == (8, 4)
    waits = [document.retry.backoff.delay(attempt, chance=0) for attempt in (1, 2)]
    assert waits == [timedelta(seconds=7.5), timedelta(seconds=37.5)]
    others = [name for name in QUEUES if name != "document"]
    assert [queues[name] for name in others] == [QUEUES[name] for name in others]


def test_each_setting_of_a_queue_leaves_the_others_alone(read: ReadSettings) -> None:
    sync = read(QUEUE_ATTEMPTS='{"sync": 3}').queues()["sync"]

    assert (sync.name, sync.concurrency, sync.retry.attempts) == ("sync", 3, 3)
    assert sync.retry.backoff == QUEUES["sync"].retry.backoff


def test_a_process_serves_the_queues_it_is_told_to(read: ReadSettings) -> None:
    settings = read(WORKER_QUEUES=" email, sync ,,")

    assert settings.worker_queues == ("email", "sync")
    assert list(settings.queues()) == list(QUEUES)  # the others are known, and measured


def test_the_storage_path_is_the_backends_when_it_says_so(read: ReadSettings) -> None:
    assert read(VAR_DIR="/srv/var").storage_path == Path("/srv/var/storage")
    assert read(STORAGE_BASE_PATH="/mnt/files").storage_path == Path("/mnt/files")
