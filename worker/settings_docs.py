"""Documents that are made from the settings model, so that they cannot lie."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from jobs.kit import QUEUES
from worker.settings import Settings


def env_example() -> str:
    """`.env.example`: every setting, commented out, with its default."""
    head = (
        "# Every setting of deskhand, with its default. `deskhand config check` checks yours.\n"
        "# Made by `make docs`; the environment wins over this file.\n"
    )
    return head + "".join(
        f"\n# {field.description}\n#{name.upper()}={_default(name, field)}\n"
        for name, field in Settings.model_fields.items()
    )


def shown(settings: Settings) -> dict[str, str]:
    """Names and values, secrets and passwords in URLs hidden."""
    return {name.upper(): _shown(getattr(settings, name)) for name in Settings.model_fields}


def _default(name: str, field: FieldInfo) -> str:
    if name == "worker_queues":
        return ",".join(QUEUES)
    value = field.get_default(call_default_factory=True)
    return "" if value is None or value == {} else _shown(value)


def _shown(value: Any) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return _without_password(value.get_secret_value())
        case tuple():
            return ",".join(value)
        case dict():
            return json.dumps(value)
        case Path():
            return value.as_posix()
    return str(value)


def _without_password(secret: str) -> str:
    """A URL keeps host and path, which an operator wants to see; anything else keeps nothing."""
    parts = urlsplit(secret)
    if not parts.scheme or parts.scheme in ("http", "https"):  # a Sentry DSN is a secret whole
        return "********"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(
        (parts.scheme, f"***@{host}" if "@" in parts.netloc else host, parts.path, "", "")
    )
