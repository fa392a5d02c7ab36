"""From a request to checked parameters and a checked body."""

import asyncio
import json
import math
from collections.abc import Iterator
from functools import cache
from typing import Any, get_origin

from aiohttp import web
from pydantic import ValidationError

from worker.sidecar.api.errors import ApiError, invalid, invalid_model
from worker.sidecar.api.operation import Body, Operation, Parameters

_BODY_TIMEOUT = 30.0  # seconds
_LARGE = 65_536  # bytes that take some hundredths of a second to read
_BIGGEST, _SMALLEST = 2**64 - 1, -(2**63)  # integers that JSON readers agree on
_NUL = "has a NUL character, which cannot be stored"


def read_parameters(operation: Operation, request: web.Request) -> Parameters:
    """Path and query. Raises ApiError."""
    lists = _lists(operation.parameters)
    given: dict[str, str | list[str]] = {}
    for name, value in [*request.query.items(), *request.match_info.items()]:
        if "\x00" in value:
            raise invalid({name: _NUL}, where="query")
        if not value.isascii() and not _is_text(value):
            raise invalid({name: "is not UTF-8"}, where="query")
        if name in lists:
            given[name] = [*given.get(name, ()), value]
        elif name in given:
            raise invalid({name: "is given twice"}, where="query")
        else:
            given[name] = value
    try:
        read: Parameters = operation.parameters.__pydantic_validator__.validate_python(given)
    except ValidationError as error:
        raise invalid_model(error, where="query") from None
    return read


@cache
def _lists(parameters: type[Parameters]) -> frozenset[str]:
    """Those that may be given several times."""
    fields = parameters.model_fields.items()
    return frozenset(name for name, field in fields if get_origin(field.annotation) is list)


async def read_body(operation: Operation, request: web.Request, limit: int) -> Body | bytes | None:
    """What the operation takes: a model, the bytes, or nothing. Raises ApiError."""
    kind = operation.body
    if kind is None:
        return None
    raw = await _read(request, limit) if request.can_read_body else b""
    if not issubclass(kind, Body):
        return raw
    if raw and request.content_type != "application/json":
        raise ApiError(415, "not_json", "send the body with Content-Type: application/json")
    if len(raw) > _LARGE:  # whoever else asks has a turn meanwhile
        return await asyncio.to_thread(_model, kind, raw)
    return _model(kind, raw or b"{}")


def _model(kind: type[Body], raw: bytes) -> Body:
    check_json(raw)
    try:
        read: Body = kind.__pydantic_validator__.validate_json(raw)
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] == "json_invalid":
            raise _malformed("it is not JSON") from None
        raise invalid_model(error, where="body") from None
    return read


async def _read(request: web.Request, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    content = request.content
    if content.is_eof() and content.exception() is None:  # most are here with their heads
        raw = content.read_nowait()
        if len(raw) > limit:
            raise _too_large(limit)
        return raw
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            async for chunk in content.iter_any():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        raise ApiError(408, "too_slow", "the body did not come in time: send it again") from None
    except web.RequestPayloadError:
        raise _malformed("its transfer or content encoding is broken") from None
    return b"".join(chunks)


def check_json(raw: bytes) -> None:
    """Refuse what JSON readers do not agree on, or nobody can store. Raises ApiError.

    Names given twice, numbers that are none or beyond 64 bits, and NUL characters.
    """
    try:
        value = json.loads(
            raw.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except _TwiceError:
        raise _malformed("an object has the same name twice") from None
    except _NumberError as error:
        raise ApiError(422, "invalid", f"the body does not fit: {error}") from None
    except (ValueError, RecursionError):
        raise _malformed("it is not JSON") from None
    if b"\\u0000" in raw:
        for path in _nuls(value, ""):
            raise invalid({path or "body": _NUL}, where="body")


class _TwiceError(ValueError):
    pass


class _NumberError(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _TwiceError
    return made


def _integer(text: str) -> int:
    value = int(text) if len(text) <= len(str(_SMALLEST)) else _BIGGEST + 1
    if not _SMALLEST <= value <= _BIGGEST:
        raise _NumberError("an integer has more than 64 bits; write it as text")
    return value


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _NumberError("a number is too large; write it as text")
    return value


def _constant(text: str) -> float:
    raise ValueError(text)


def _nuls(value: Any, path: str) -> Iterator[str]:
    """Where there are any."""
    match value:
        case str() if "\x00" in value:
            yield path
        case dict():
            for name, item in value.items():
                below = f"{path}.{name}" if path else name
                if "\x00" in name:
                    yield path
                yield from _nuls(item, below)
        case list():
            for place, item in enumerate(value):
                yield from _nuls(item, f"{path}.{place}" if path else str(place))


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _malformed(why: str) -> ApiError:
    return ApiError(400, "malformed", f"the body cannot be read: {why}")


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"a body has at most {limit} bytes (API_BODY_LIMIT)")
