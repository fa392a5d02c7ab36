"""Types of single settings, each with its check and the sentence for whoever got it wrong."""

import json
from typing import Annotated, TypeVar
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, PositiveFloat, PositiveInt
from pydantic_settings import NoDecode

from jobs.kit import QUEUES

V = TypeVar("V")


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("there is no such time zone; take a name like Europe/Istanbul")
    return name


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _known_queues(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in QUEUES]
    if unknown or not names:
        raise ValueError(f"there is no queue {', '.join(unknown)}; choose from {', '.join(QUEUES)}")
    return names


def _parse(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise ValueError('it is a JSON object by queue, as in {"email": 4}') from None


def _of_known_queues(table: dict[str, V]) -> dict[str, V]:
    if table:
        _known_queues(tuple(table))
    return table


Zone = Annotated[str, AfterValidator(_known_zone)]
QueueNames = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_known_queues)
]
PerQueueInt = Annotated[
    dict[str, PositiveInt], NoDecode, BeforeValidator(_parse), AfterValidator(_of_known_queues)
]
PerQueueSeconds = Annotated[
    dict[str, PositiveFloat], NoDecode, BeforeValidator(_parse), AfterValidator(_of_known_queues)
]
