"""Types of single settings, each with its check and the sentence for whoever got it wrong."""

import json
from typing import Annotated, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, SecretStr
from pydantic_settings import NoDecode

from jobs.kit import QUEUES
from jobs.kit.schedule import checked_interval, checked_line, checked_zone
from worker.redis_url import SCHEMES, check_redis_url

V = TypeVar("V")


def split(value: object) -> object:
    """What stands between commas."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _known_queues(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in QUEUES]
    if not names:
        raise ValueError(f"name at least one queue of {', '.join(QUEUES)}")
    if unknown:
        raise ValueError(f"there is no queue {', '.join(unknown)}; choose from {', '.join(QUEUES)}")
    return names


def parse_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise ValueError('it is a JSON object by queue, as in {"email": 4}') from None


def of_known_queues(table: dict[str, V]) -> dict[str, V]:
    if table:
        _known_queues(tuple(table))
    return table


def _url(*schemes: str, needs_user: bool = False) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        parts = _parts(value.get_secret_value())
        if parts.scheme not in schemes:
            raise ValueError(f"must start with {' or '.join(f'{s}://' for s in schemes)}")
        if needs_user and not (parts.username and parts.hostname):
            raise ValueError("its key is missing: https://key@host/project")
        return value

    return AfterValidator(check)


def _names_a_project(value: SecretStr) -> SecretStr:
    if not _parts(value.get_secret_value()).path.rpartition("/")[2].isdecimal():
        raise ValueError("its project is missing: https://key@host/project, where it is a number")
    return value


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:  # several hosts: their ports are checked by whoever connects
            _ = parts.port
    except ValueError:
        raise ValueError("it is no URL (quote special characters in a password)") from None
    return parts


def _names_servers(value: SecretStr) -> SecretStr:
    check_redis_url(value.get_secret_value())
    return value


RedisUrl = Annotated[SecretStr, _url(*SCHEMES), AfterValidator(_names_servers)]
DatabaseUrl = Annotated[SecretStr, _url("postgresql", "postgres")]
SentryDsn = Annotated[
    SecretStr, _url("https", "http", needs_user=True), AfterValidator(_names_a_project)
]
Lease = Annotated[float, Field(ge=3, le=3600, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
FirstWait = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]  # Exponential's cap
Days = Annotated[int, Field(ge=1, le=36_500)]
# Providers tell of a mail for weeks, and its way out has to work for a month by law (CAN-SPAM,
# 15 U.S.C. 7704(a)(3)(A)(ii)).
DaysOfMessages = Annotated[int, Field(ge=30, le=36_500)]
KeptRuns = Annotated[int, Field(ge=0, le=1_000_000)]
Zone = Annotated[str, AfterValidator(checked_zone)]
CronLine = Annotated[str, AfterValidator(checked_line)]
Interval = Annotated[int, AfterValidator(checked_interval)]
QueueNames = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(split), AfterValidator(_known_queues)
]
PerQueueInt = Annotated[
    dict[str, PositiveInt], NoDecode, BeforeValidator(parse_json), AfterValidator(of_known_queues)
]
PerQueueSeconds = Annotated[
    dict[str, FirstWait], NoDecode, BeforeValidator(parse_json), AfterValidator(of_known_queues)
]
