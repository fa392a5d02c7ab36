"""The environment, read once and frozen. Nobody else reads it.

Names are flat (`SENDGRID_API_KEY`), an empty value counts as unset, and a `.env` file in the
working directory serves for what the environment does not say. A wrong value stops the start with
one line per setting; values never appear in those lines, because they may be secrets.
"""

import os
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import (
    AliasChoices,
    AnyHttpUrl,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from clients.mail import Sender
from clients.sendgrid import SendGridSettings
from clients.smtp import SmtpSettings
from jobs.kit import QUEUES, Exponential, Queue, Retry
from worker.settings_types import (
    DatabaseUrl,
    Lease,
    PerQueueInt,
    PerQueueSeconds,
    QueueNames,
    RedisUrl,
    Seconds,
    SentryDsn,
    Zone,
)

_SUPABASE_HINT = (
    "DATABASE_URL: deskhand speaks to PostgreSQL itself, SUPABASE_URL and its key are not enough; "
    "copy the connection string from the Supabase dashboard (Connect > Direct connection, or the "
    "session pooler) and set DATABASE_URL to it"
)


class SettingsError(Exception):
    """Settings do not fit; `problems` has one line for each, without values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(["deskhand cannot start with these settings:", *problems]))
        self.problems = problems


class Settings(BaseSettings):
    """Every setting of the product. The description is what `.env.example` says."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    # The service
    service_name: str = Field("worker-service", description="Name in health, logs and traces.")
    environment: Literal["development", "test", "staging", "production"] = Field(
        "development",
        validation_alias=AliasChoices("ENVIRONMENT", "NODE_ENV"),
        description="Where this runs. NODE_ENV is read too.",
    )
    host: str = Field("127.0.0.1", description="Address of health and metrics.")
    port: int = Field(8500, ge=0, le=65535, description="Port of health and metrics; 0 = any.")
    public_url: AnyHttpUrl | None = Field(
        None, description="Base of the links in mails. Default: http://HOST:PORT, for a trial."
    )
    timezone: Zone = Field("America/New_York", description="Zone of schedules that name none.")
    var_dir: Path = Field(Path("var"), description="Private services, mail and files of this copy.")

    # Redis and PostgreSQL
    redis_url: RedisUrl | None = Field(
        None,
        description="redis://, rediss://, unix:// or redis+sentinel://h1:26379,h2:26379/mymaster/0.",
    )
    redis_host: str | None = Field(None, description="Instead of REDIS_URL, which wins.")
    redis_port: int = Field(6379, ge=1, le=65535, description="With REDIS_HOST.")
    redis_password: SecretStr | None = Field(
        None, description="With either, unless the URL has one."
    )
    database_url: DatabaseUrl | None = Field(
        None, description="postgresql://user:password@host/name."
    )
    database_pool_size: PositiveInt = Field(10, le=1000, description="Connections per process.")
    supabase_url: AnyHttpUrl | None = Field(
        None,
        validation_alias=AliasChoices("SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL"),
        description="Read to say what is missing: set DATABASE_URL. NEXT_PUBLIC_SUPABASE_URL too.",
    )
    supabase_service_role_key: SecretStr | None = Field(None, description="As SUPABASE_URL.")

    # Running
    worker_queues: QueueNames = Field(
        tuple(QUEUES), description="Queues that this process serves, separated by commas."
    )
    queue_concurrency: PerQueueInt = Field(
        default_factory=dict, description='Runs at once, per process: {"document": 8}.'
    )
    queue_attempts: PerQueueInt = Field(
        default_factory=dict, description='Attempts, for jobs without their own: {"email": 4}.'
    )
    queue_backoff: PerQueueSeconds = Field(
        default_factory=dict, description='Seconds before the first retry: {"sync": 10}.'
    )
    run_lease: Lease = Field(
        30, description="Seconds after which a crashed worker's runs start elsewhere."
    )
    start_timeout: Seconds = Field(
        30, description="Seconds that Redis and PostgreSQL may take to come up."
    )
    shutdown_grace: Seconds = Field(
        25, description="Seconds that running jobs get to finish after SIGTERM."
    )
    unknown_job_grace: Seconds = Field(
        600, description="Seconds that a run waits for a worker that knows its job."
    )
    arq_accept_pickle: Literal["never", "restricted"] = Field(
        "never", description="'restricted' reads pickled payloads of builtins from stock ARQ pools."
    )

    # Mail and SMS
    email_provider: Literal["file", "smtp", "sendgrid"] = Field(
        "file", description="'file' writes .eml files to VAR_DIR/mail."
    )
    email_from: str = Field(
        "deskhand <no-reply@deskhand.example>", description="Sender: address, or Name <address>."
    )
    smtp_host: str | None = Field(None, description="With EMAIL_PROVIDER=smtp.")
    smtp_port: int = Field(587, ge=1, le=65535, description="587 with starttls, 465 with tls.")
    smtp_username: str | None = Field(None, description="Empty: no login.")
    smtp_password: SecretStr | None = Field(None, description="With SMTP_USERNAME.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is protected."
    )
    smtp_ca_file: Path | None = Field(
        None, description="Certificates to trust besides the system's."
    )
    sendgrid_api_key: SecretStr | None = Field(None, description="With EMAIL_PROVIDER=sendgrid.")
    sendgrid_url: AnyHttpUrl = Field(
        AnyHttpUrl("https://api.sendgrid.com"),
        description="https://api.eu.sendgrid.com for the EU.",
    )
    twilio_account_sid: str | None = Field(
        None, pattern="^AC[0-9a-f]{32}$", description="Checked; no job sends SMS yet."
    )
    twilio_auth_token: SecretStr | None = Field(None, description="With TWILIO_ACCOUNT_SID.")

    # Files
    storage_type: Literal["local"] = Field("local", description="Where files are kept.")
    storage_base_path: Path | None = Field(None, description="Default: VAR_DIR/storage.")

    # Watching
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="'[time] [LEVEL] message {context}', or one JSON object a line."
    )
    sentry_dsn: SentryDsn | None = Field(None, description="Checked; errors are not sent yet.")
    otel_exporter_otlp_endpoint: AnyHttpUrl | None = Field(
        None, description="Checked; traces are not sent yet."
    )
    jwt_secret: SecretStr | None = Field(
        None, min_length=32, description="Checked; for the console and the API, which come later."
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("email_from")
    @classmethod
    def _is_sender(cls, value: str) -> str:
        Sender.parse(value)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = []
        if self.email_provider == "smtp" and not self.smtp_host:
            problems.append("SMTP_HOST: EMAIL_PROVIDER=smtp needs it")
        if self.smtp_username and not self.smtp_password:
            problems.append("SMTP_PASSWORD: SMTP_USERNAME needs it")
        if self.smtp_password and not self.smtp_username:
            problems.append("SMTP_USERNAME: SMTP_PASSWORD needs it")
        if self.smtp_username and self.smtp_security == "none":
            problems.append("SMTP_SECURITY: a login needs starttls or tls")
        if self.email_provider == "sendgrid" and not self.sendgrid_api_key:
            problems.append("SENDGRID_API_KEY: EMAIL_PROVIDER=sendgrid needs it")
        if (self.twilio_account_sid is None) != (self.twilio_auth_token is None):
            problems.append("TWILIO_AUTH_TOKEN: it and TWILIO_ACCOUNT_SID need each other")
        if self.database_url is None and (self.supabase_url or self.supabase_service_role_key):
            problems.append(_SUPABASE_HINT)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def redis_dsn(self) -> str | None:
        """The URL to connect to, with its password; None when no Redis is configured."""
        password = self.redis_password.get_secret_value() if self.redis_password else None
        if self.redis_url is None:
            if self.redis_host is None:
                return None
            host = f"[{self.redis_host}]" if ":" in self.redis_host else self.redis_host
            login = f":{quote(password, safe='')}@" if password else ""
            return f"redis://{login}{host}:{self.redis_port}"
        url = self.redis_url.get_secret_value()
        parts = urlsplit(url)
        if not password or parts.password:
            return url
        user = parts.netloc.rpartition("@")[0].partition(":")[0]
        rest = url.removeprefix(f"{parts.scheme}://").removeprefix(f"{user}@")
        return f"{parts.scheme}://{user}:{quote(password, safe='')}@{rest}"

    @property
    def database_dsn(self) -> str | None:
        return self.database_url.get_secret_value() if self.database_url else None

    def queues(self) -> dict[str, Queue]:
        """All queues, as these settings shape them; `worker_queues` says which are served."""
        return {name: self._shaped(queue) for name, queue in QUEUES.items()}

    def _shaped(self, queue: Queue) -> Queue:
        retry, first = queue.retry, self.queue_backoff.get(queue.name)
        return Queue(
            queue.name,
            self.queue_concurrency.get(queue.name, queue.concurrency),
            Retry(
                attempts=self.queue_attempts.get(queue.name, retry.attempts),
                backoff=retry.backoff if first is None else Exponential(first=first),
            ),
        )

    @property
    def sidecar_url(self) -> str:
        """Where this machine reaches health and metrics."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def storage_path(self) -> Path:
        return self.storage_base_path or self.var_dir / "storage"

    @property
    def smtp(self) -> SmtpSettings:
        return SmtpSettings(
            host=self.smtp_host or "",
            port=self.smtp_port,
            username=self.smtp_username,
            password=self.smtp_password,
            security=self.smtp_security,
            ca_file=self.smtp_ca_file,
        )

    @property
    def sendgrid(self) -> SendGridSettings:
        return SendGridSettings(
            api_key=self.sendgrid_api_key or SecretStr(""), url=str(self.sendgrid_url)
        )


def load_settings(**overrides: Any) -> Settings:
    """Read environment and `.env`. Raises SettingsError with one line per wrong setting."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_problems(error)) from None
    except UnicodeDecodeError:
        raise SettingsError([".env: it is not UTF-8 text"]) from None


def export(**urls: str) -> None:
    """Hand the URLs of private services on to whatever reads settings later in this process."""
    os.environ.update({name.upper(): url for name, url in urls.items()})  # noqa: TID251 - the one place


def _problems(error: ValidationError) -> list[str]:
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        message = item["msg"].removeprefix("Value error, ")
        name = ".".join(map(str, item["loc"])).upper()
        lines += [f"{name}: {message}"] if name else message.splitlines()
    return lines
