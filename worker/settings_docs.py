"""Documents that are made from the settings model, so that they cannot lie."""

import json
from pathlib import Path
from typing import Any

from pydantic import AnyUrl, SecretStr
from pydantic.fields import FieldInfo

from jobs.kit import QUEUES
from worker.settings import Settings

_HIDDEN = "********"
# A family of settings, which is one field.
_NAMES = {"schedules": "SCHEDULE_<JOB>"}


def env_example() -> str:
    """`.env.example`: every setting, commented out, with its default."""
    head = (
        "# Every setting of deskhand, with its default. `deskhand config check` checks yours.\n"
        "# Made by `make docs`; the environment wins over this file.\n"
    )
    return head + "".join(
        f"\n# {field.description}\n#{_NAMES.get(name, name.upper())}={_default(name, field)}\n"
        for name, field in Settings.model_fields.items()
    )


def shown(settings: Settings) -> dict[str, str]:
    """Names and values; secrets are hidden, and what may be one in a URL."""
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    families = {name: values.pop(name) for name in _NAMES}
    single = {name.upper(): _shown(name, value) for name, value in values.items()}
    return {
        **single,
        **{name: said for family in families.values() for name, said in family.items()},
    }


def _default(name: str, field: FieldInfo) -> str:
    if name == "worker_queues":
        return ",".join(QUEUES)
    value = field.get_default(call_default_factory=True)
    return "" if value is None or value == {} else _shown(name, value)


def _shown(name: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            # Of these two an operator wants to see the server; of the others nothing.
            text = value.get_secret_value()
            return _without_login(text) if name in ("redis_url", "database_url") else _HIDDEN
        case AnyUrl():
            return _without_login(str(value)).partition("?")[0]
        case tuple():
            return ",".join(value)
        case dict():
            return json.dumps(value)
    return value.as_posix() if isinstance(value, Path) else str(value)


def _without_login(url: str) -> str:
    """Up to the last `@`: an unquoted password may hold whatever separates parts of a URL."""
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    return f"{scheme}://***@{place.partition('?')[0]}" if at and login else url.partition("?")[0]
