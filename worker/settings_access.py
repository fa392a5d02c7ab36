"""Settings of who may use the API and the console, and of what they may do there."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from worker.settings_types import Days, split
from worker.sidecar.access.passwords import users_of

_LEAST = 32  # characters of a secret that others may try to guess
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]{0,250}[a-z0-9_])?|[0-9a-f:]{2,45}")


def _are_users(value: SecretStr) -> SecretStr:
    users_of(value.get_secret_value())
    return value


def _is_long(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < _LEAST:
        raise ValueError(f"it has {_LEAST} characters or more: `openssl rand -hex 32` makes one")
    return value


def _are_hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    lower = tuple(name.lower() for name in names)
    if not all(_HOST.fullmatch(name) for name in lower):
        raise ValueError("it is names without scheme and port, as in jobs.example.com,*.internal")
    return lower


Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split), AfterValidator(_are_hosts)]
LongSecret = Annotated[SecretStr, AfterValidator(_is_long)]
Users = Annotated[SecretStr, AfterValidator(_are_users)]


class AccessSettings(BaseModel):
    """Without any of the first three the API serves this machine alone, if HOST is loopback."""

    admin_token: LongSecret | None = Field(
        None,
        description="Bearer token of the API with every right: `openssl rand -hex 32`.",
    )
    admin_users: Users | None = Field(
        None, description="People who sign in: entries of `deskhand password`, separated by commas."
    )
    jwt_secret: LongSecret | None = Field(
        None, description="Signs JSON Web Tokens (HS256) with exp, role and perhaps tenant_id."
    )
    admin_allowed_hosts: Hosts = Field(
        (),
        description="Names of the API besides localhost, HOST and PUBLIC_URL's: *.example.com too.",
    )
    read_only: bool = Field(
        default=False, description="True: API and console change nothing, whoever asks."
    )
    api_rate: float = Field(
        1000,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="Changes a second that one caller may make, per process; 0 = any number.",
    )
    api_body_limit: int = Field(
        1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="Bytes that the body of a request may have.",
    )
    keep_audit_days: Days = Field(
        365, description="Days for which the audit log of API and console is kept."
    )
