"""Settings of the process itself, and of the servers that it stands on."""

from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from pydantic import AliasChoices, AnyHttpUrl, BaseModel, ConfigDict, Field, PositiveInt, SecretStr

from worker.settings_types import DatabaseUrl, RedisUrl, Zone

_SUPABASE_HINT = (
    "DATABASE_URL: deskhand speaks to PostgreSQL itself, SUPABASE_URL and its key are not enough; "
    "copy the connection string from the Supabase dashboard (Connect > Direct connection, or the "
    "session pooler) and set DATABASE_URL to it"
)


class ServiceSettings(BaseModel):
    """Name and place of this process."""

    model_config = ConfigDict(populate_by_name=True)

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

    @property
    def sidecar_url(self) -> str:
        """Where this machine reaches health and metrics."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class ServerSettings(BaseModel):
    """Redis and PostgreSQL."""

    model_config = ConfigDict(populate_by_name=True)

    redis_url: RedisUrl | None = Field(
        None,
        description="redis://, rediss://, unix://, redis+sentinel://h1:26379,h2:26379/mymaster/0"
        " or redis+cluster://h1:7000,h2:7001/deskhand (rediss+cluster:// with TLS).",
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

    def server_problems(self) -> list[str]:
        if self.database_url is None and (self.supabase_url or self.supabase_service_role_key):
            return [_SUPABASE_HINT]
        return []

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
