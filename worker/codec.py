"""ARQ's bytes as JSON: `{t, f, a, k, et}` for a job, plus `{s, r, st, ft, q, id}` for a result.

`dumps` and `loads` are what a stock pool is given as `job_serializer` and `job_deserializer`.
Beside ARQ's own keys a job carries `h`, headers that stock readers skip: `c` (words for the
engine, see jobs/kit/controls.py; always the first), `cid` (correlation id), `replay` (the run it
replays), `origin` (the run that the first replay of all replayed), `label`, `expires` (ms since
1970: not to be started after that), `outbox` (the row that it was enqueued from), `by` (who asked
for it over HTTP).

JSON cannot carry exceptions, and ARQ's `Job.result()` and `abort()` raise what they find: so a
failure is stored as `{"$error": type, "message": …}` and becomes an exception again in `loads`.
"""

import asyncio
import io
import pickle  # only for the restricted reader below
import pickletools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from pydantic_core import to_jsonable_python
from typing_extensions import override

_PICKLE = b"\x80"
WORDS = b'{"h":{"c":['
# What JSON has no word for is written as pydantic writes it.
_AS_PYDANTIC = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_NON_STR_KEYS
)
EXPIRES, ORIGIN = "expires", "origin"
_HEADER_LIMIT = 200  # characters
_ERROR = "$error"
_CANCELLED = "CancelledError"

PICKLE_REFUSED = (
    "the payload is pickled, and unpickling lets whoever can write to Redis run code here; "
    "give the stock pool our serializer: arq.create_pool(settings, "
    "job_serializer=worker.codec.dumps, job_deserializer=worker.codec.loads), "
    "or set ARQ_ACCEPT_PICKLE=restricted to read plain builtins"
)


class UndecodableError(Exception):
    """The bytes are no job that can be read; the sentence says why."""


class JobFailedError(Exception):
    """What `Job.result()` raises for a run that failed: the error's type and message."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        self.message = message


@dataclass(slots=True)  # not frozen: one is made for every attempt
class JobMessage:
    """A job as it lies in Redis. `arguments` is the one payload, however it was passed."""

    function: str
    arguments: dict[str, Any]
    enqueued_at: datetime
    headers: dict[str, str] = field(default_factory=dict)
    enqueued_ms: int = field(default=0, compare=False)
    # The bytes up to the end of its words, when it has some.
    words: bytes = b""


def dumps(data: dict[str, Any]) -> bytes:
    """JSON; also UUID, datetime, Decimal, dataclasses and pydantic models. Raises TypeError."""
    result = data.get("r")
    if isinstance(result, BaseException):
        data = {**data, "r": error_result(result)}
    return dump_value(data)


def dump_value(value: Any) -> bytes:
    """Anything as JSON. Raises TypeError."""
    try:
        return orjson.dumps(value, to_jsonable_python, _AS_PYDANTIC)
    except Exception as error:
        raise TypeError(f"not JSON: {type(error).__name__}") from error


def loads(raw: bytes) -> dict[str, Any]:
    """The inverse of `dumps`; a failure becomes JobFailedError or asyncio.CancelledError again."""
    data: dict[str, Any] = orjson.loads(raw)
    result = data.get("r")
    if isinstance(result, dict) and data.get("s") is False:
        error_type, message = str(result.get(_ERROR)), str(result.get("message"))
        is_cancelled = error_type == _CANCELLED
        data["r"] = (
            asyncio.CancelledError(message) if is_cancelled else JobFailedError(error_type, message)
        )
    return data


def error_result(error: BaseException) -> dict[str, str]:
    return {_ERROR: type(error).__name__, "message": str(error)}


def cancelled_result(reason: str) -> dict[str, str]:
    return {_ERROR: _CANCELLED, "message": reason}


def decode_job(raw: bytes, *, accept_pickle: bool = False) -> JobMessage:
    """Read a job that any pool wrote. Raises UndecodableError."""
    is_pickle = raw[:1] == _PICKLE
    if is_pickle:
        if not accept_pickle:
            raise UndecodableError(PICKLE_REFUSED)
        data = _restricted_unpickle(raw)
    else:
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise UndecodableError(f"the payload is not JSON: {error}") from None
    try:
        name, arguments = _name(data["f"]), _arguments(data["a"], data["k"])
        if is_pickle:  # from here on all payloads are what JSON can say
            arguments = orjson.loads(dumps(arguments))
        enqueued_ms = int(data["et"])
        enqueued_at = _instant(enqueued_ms)
        words = raw[: raw.find(b"]") + 1] if raw.startswith(WORDS) else b""
        return JobMessage(name, arguments, enqueued_at, _headers(data.get("h")), enqueued_ms, words)
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise UndecodableError(f"this is no ARQ job: {type(error).__name__} {error}") from None


@lru_cache(maxsize=100)  # runs that were enqueued together share it
def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("'f' is no name")
    return value


def _arguments(args: Any, kwargs: Any) -> dict[str, Any]:
    """`enqueue_job(name, {...})` and `enqueue_job(name, a=1)` are the same payload."""
    if not args:
        return dict(kwargs)
    if len(args) == 1 and isinstance(args[0], dict) and not kwargs:
        return args[0]
    raise UndecodableError(
        "a job takes one payload: enqueue_job(name, {...}) or enqueue_job(name, field=value), "
        f"not {len(args)} positional and {len(kwargs)} keyword arguments"
    )


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    if len(value) == 1 and type(cid := value.get("cid")) is str and len(cid) <= _HEADER_LIMIT:
        return value  # as most are
    return {str(k): v for k, v in value.items() if isinstance(v, str) and len(v) <= _HEADER_LIMIT}


class _Builtins(pickle.Unpickler):
    """Reads containers, numbers, text and dates; everything else could be code."""

    _ALLOWED = frozenset(
        {("builtins", "set"), ("builtins", "frozenset")}
        | {("datetime", name) for name in ("datetime", "date", "time", "timedelta", "timezone")}
        | {("decimal", "Decimal"), ("uuid", "UUID")}
    )

    @override
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not a builtin")
        return super().find_class(module, name)


def _restricted_unpickle(raw: bytes) -> dict[str, Any]:
    try:
        _check_memo(raw)
        data = _Builtins(io.BytesIO(raw)).load()
    except Exception as error:  # noqa: BLE001 - hostile bytes may raise anything
        raise UndecodableError(f"the pickled payload is not plain builtins: {error}") from None
    if not isinstance(data, dict):
        raise UndecodableError("this is no ARQ job: the pickle holds no dict")
    return data


def _check_memo(raw: bytes) -> None:
    """Python makes room for the greatest index that a pickle names: some bytes could take it all.

    An honest pickle numbers what it holds, and holds less than it has bytes.
    """
    for opcode, argument, _ in pickletools.genops(raw):
        if opcode.name in {"PUT", "LONG_BINPUT"} and (argument or 0) > len(raw):
            raise pickle.UnpicklingError("it remembers more than it holds")
