"""What an operation answers when it cannot do what was asked: one shape, made in one place.

`{"error": {"code", "message", "request_id", "fields"?}}`: the code is for programs and stays, the
message says to people what to do, `fields` names what is wrong without saying what was given. Of
`running` it says what is in the way: its `run_id`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
from pydantic import BaseModel, ValidationError
from redis.exceptions import RedisError

from jobs.kit import PayloadError
from worker.dead_letters import DeadLetterError
from worker.enqueuer import UnknownJobError, WrongQueueError
from worker.history import TooBroadError
from worker.pausing import UnknownQueueError
from worker.records import plain
from worker.schedules import GoingOnError, UnknownScheduleError
from worker.sidecar.access.principal import RefusedError

_NAME_LIMIT = 100  # characters of a field's name, which may be foreign
_MOST_FIELDS = 50
RETRY_SOON: Final = {"Retry-After": "2"}


class ErrorDetail(BaseModel):
    """What went wrong, and with what."""

    code: str
    message: str
    request_id: str
    fields: dict[str, str] | None = None


class Error(BaseModel):
    """Every answer that is none."""

    error: ErrorDetail


@dataclass(eq=False)
class ApiError(Exception):
    """Raised by operations; `fields` says what is wrong with which, never what was given."""

    status: int
    code: str
    message: str
    fields: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def not_found(what: str) -> ApiError:
    """`what` is not there, or not the caller's to see."""
    return ApiError(404, "not_found", f"there is no such {what}")


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turn a ValueError inside into a refusal of this field. Its text must not hold the value."""
    try:
        yield
    except ValueError as error:
        raise invalid({name: str(error)}) from None


@asynccontextmanager
async def within(seconds: float = 5) -> AsyncIterator[None]:
    """A search that takes longer is given up, and the caller told to narrow it."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise _too_slow() from None


def invalid(fields: Mapping[str, str], *, where: str = "request") -> ApiError:
    """Something does not fit: names and what is wrong with them."""
    shown = {
        plain(name).replace("\x00", "�")[:_NAME_LIMIT]: problem
        for name, problem in list(fields.items())[:_MOST_FIELDS]
    }
    return ApiError(422, "invalid", f"the {where} does not fit: see fields", shown)


def invalid_model(error: ValidationError, *, where: str) -> ApiError:
    """From pydantic, without its `input` and `ctx`: they may hold personal data."""
    fields: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(map(str, item["loc"])) or where
        fields.setdefault(name, item["msg"].removeprefix("Value error, "))
    return invalid(fields, where=where)


def invalid_payload(error: PayloadError) -> ApiError:
    """From a job's own check: `amount: Field required` becomes a field of the payload."""
    fields: dict[str, str] = {}
    for problem in error.problems:
        name, colon, rest = problem.partition(": ")
        is_named = bool(colon) and " " not in name
        if is_named:
            fields.setdefault(f"payload.{name}", rest)
        else:
            fields.setdefault("payload", problem)
    return invalid(fields, where="payload")


def api_error_of(error: Exception) -> ApiError | None:
    """What to answer for an error that is known; None for a defect."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in _AWAY:
        return _away()
    return next((make(error) for kinds, make in _KNOWN if isinstance(error, kinds)), None)


def _away() -> ApiError:
    sentence = "a service that this needs is away: try again"
    return ApiError(503, "unavailable", sentence, headers=RETRY_SOON)


def _too_slow(_: object = None) -> ApiError:
    sentence = "this takes too long: narrow the filter"
    return ApiError(503, "too_slow", sentence, headers=RETRY_SOON)


def _as(status: int, code: str) -> Callable[[Any], ApiError]:
    return lambda error: ApiError(status, code, plain(str(error)))


# Connections, resources, a server that stops or only reads, others in the way (PostgreSQL's
# appendix A).
_AWAY: Final = ("08", "25", "40", "53", "58")
# The first that fits.
_KNOWN: Final[Sequence[tuple[type | tuple[type, ...], Callable[[Any], ApiError]]]] = (
    (
        RefusedError,
        lambda error: ApiError(error.status, error.code, error.message, headers=error.headers),
    ),
    (PayloadError, invalid_payload),
    (UnknownJobError, _as(404, "unknown_job")),
    (UnknownQueueError, _as(404, "unknown_queue")),
    (DeadLetterError, _as(404, "not_found")),
    (UnknownScheduleError, _as(404, "not_found")),
    (GoingOnError, lambda error: ApiError(409, "running", str(error), {"run_id": error.run_id})),
    (WrongQueueError, _as(422, "wrong_queue")),
    ((asyncpg.QueryCanceledError, TooBroadError), _too_slow),
    # PostgreSQL knows no such number, instant or character.
    (asyncpg.DataError, lambda _: invalid({"request": "a value is none that can be stored"})),
    (
        (asyncpg.InterfaceError, asyncpg.OperatorInterventionError, RedisError, OSError),
        lambda _: _away(),
    ),
)
