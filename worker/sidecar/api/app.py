"""Routes and checks for all operations, from their declarations."""

import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any, Final

import orjson
from aiohttp import hdrs, web
from pydantic_core import to_json

from worker.message import correlation_id
from worker.settings import Settings
from worker.sidecar.access.gate import Gate
from worker.sidecar.access.principal import ANYBODY, Principal, RefusedError
from worker.sidecar.access.throttle import Buckets
from worker.sidecar.api.auditing import REFUSALS_BURST, REFUSALS_RATE, Refusals
from worker.sidecar.api.errors import RETRY_SOON, ApiError, api_error_of
from worker.sidecar.api.in_time import InTime
from worker.sidecar.api.openapi import description_of
from worker.sidecar.api.operation import BASE, Answer, Call, Operation
from worker.sidecar.api.reading import read_body, read_parameters
from worker.sidecar.api.resources import all_operations
from worker.sidecar.api.services import Services
from worker.telemetry.logs import get_logger

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST_ID_HEADERS = ("X-Request-ID", "X-Correlation-ID")
_JSON: Final = "application/json"
_log = get_logger(__name__)


class Api:
    """Routes that answer 503 outside of `serving`."""

    def __init__(
        self,
        settings: Settings,
        operations: Iterable[Operation] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._services: Services | None = None
        self.gate = Gate(settings, clock=clock)
        self._in_time = InTime()
        self._refusals = Refusals(Buckets(rate=REFUSALS_RATE, burst=REFUSALS_BURST, clock=clock))
        declared = all_operations() if operations is None else tuple(operations)
        self.operations = (*declared, description_of(declared))

    def routes(self) -> list[web.RouteDef]:
        """For the sidecar's application."""
        by_path: dict[str, list[Operation]] = {}
        for operation in self.operations:
            by_path.setdefault(operation.path, []).append(operation)
        routes: list[web.RouteDef] = []
        for path, operations in by_path.items():
            routes += [_Route(self, operation).definition() for operation in operations]
            refusing = _Refusing(self, _not_allowed(operations))
            routes.append(web.route(hdrs.METH_ANY, _pattern(path), refusing.answer))
        missing = ApiError(404, "not_found", f"there is nothing here; {BASE}/openapi.json has all")
        return [
            *routes,
            *(
                web.route(hdrs.METH_ANY, path, _Refusing(self, missing).answer)
                for path in (BASE, BASE + "/{rest:.*}")
            ),
        ]

    @asynccontextmanager
    async def serving(self, services: Services) -> AsyncIterator[None]:
        """Answer while inside; also says once whether anybody can get in."""
        self.gate.warn()
        self._services = services
        try:
            yield
        finally:
            self._services = None
            await services.events.close()
            await self._refusals.close()
            await self._in_time.close()

    async def answer(self, operation: Operation, request: web.Request) -> web.StreamResponse:
        """Check everything, and do it. Never raises, but for a broken connection."""
        request_id = _request_id(request)
        correlation_id.set(request_id)
        try:
            principal = await self._principal(operation, request)
        except Exception as error:  # noqa: BLE001 - each has an answer, which says nothing of its inside
            return _error(request, request_id, error)
        call: Call[Any, Any] | None = None
        try:
            self._check(operation, principal, request.remote or "")
            call = await self._call(operation, request, principal, request_id)
            return await self._done(call)
        except Exception as error:  # noqa: BLE001 - as above
            if self._services is not None and not (call and call.is_audited):
                db = self._services.db
                action = operation.action or (call.action if call else None)
                self._refusals.write(action, request, principal, request_id, db=db, error=error)
            return _error(request, request_id, error)

    async def _principal(self, operation: Operation, request: web.Request) -> Principal:
        """Who asks. Raises RefusedError."""
        if operation.role is None:
            return ANYBODY
        headers = request.headers
        self.gate.check_host(headers)
        self.gate.check_page(request.method, headers)
        return await self.gate.principal(headers, request.remote or "")

    def _check(self, operation: Operation, principal: Principal, address: str) -> None:
        """Raises RefusedError when they may not do this, or not now."""
        check_role(operation, principal)
        if operation.is_change:
            if self._settings.read_only:
                raise RefusedError(403, "read_only", "nothing may be changed here (READ_ONLY)")
            self.gate.check_pace(principal, address)

    async def _call(
        self, operation: Operation, request: web.Request, principal: Principal, request_id: str
    ) -> Call[Any, Any]:
        """Raises ApiError."""
        services = self._services
        if services is None:
            raise ApiError(503, "starting", "the worker starts, or ends", headers=RETRY_SOON)
        return Call(
            operation=operation,
            parameters=read_parameters(operation, request),
            body=await read_body(operation, request, self._settings.api_body_limit),
            principal=principal,
            services=services,
            request=request,
            request_id=request_id,
        )

    async def _done(self, call: Call[Any, Any]) -> web.StreamResponse:
        operation = call.operation
        if operation.media_type != _JSON:  # a stream: ends when it wants to
            stream: web.StreamResponse = await operation.function(call)
            return stream
        return _answer(operation, await self._in_time.result(_result(call)), call.request_id)


async def _result(call: Call[Any, Any]) -> Any:
    return await call.operation.function(call)


def check_role(operation: Operation, principal: Principal) -> None:
    """Raises RefusedError unless they may do this."""
    if operation.role is None:
        return
    if principal.role < operation.role:
        raise RefusedError(403, "forbidden", f"this takes the role {operation.role}")
    if principal.tenant_id is not None and not operation.tenants:
        raise RefusedError(403, "tenant_bound", "this concerns more than one tenant's data")


class _Route:
    """An operation as aiohttp calls it."""

    def __init__(self, api: Api, operation: Operation) -> None:
        self._api = api
        self._operation = operation

    def definition(self) -> web.RouteDef:
        method, path = self._operation.method, _pattern(self._operation.path)
        if method == "GET":  # answers HEAD as well, but for streams
            return web.get(path, self._answer, allow_head=self._operation.media_type == _JSON)
        return web.route(method, path, self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        return await self._api.answer(self._operation, request)


class _Refusing:
    """Whoever calls us by our name is told what is wrong with path or method."""

    def __init__(self, api: Api, refusal: ApiError) -> None:
        self._api = api
        self._refusal = refusal

    async def answer(self, request: web.Request) -> web.Response:
        request_id = _request_id(request)
        try:
            self._api.gate.check_host(request.headers)
        except RefusedError as error:
            return _error(request, request_id, error)
        return _error(request, request_id, self._refusal)


def _pattern(path: str) -> str:
    """For aiohttp, whose own parameters have no braces in them; ids of runs may."""
    return re.sub(r"{(\w+)}", r"{\1:[^/]+}", path)


def _not_allowed(operations: Sequence[Operation]) -> ApiError:
    methods = {operation.method for operation in operations}
    has_head = any(one.method == "GET" and one.media_type == _JSON for one in operations)
    allow = ", ".join(sorted(methods | ({"HEAD"} if has_head else set())))
    message = f"this path answers {allow}"
    return ApiError(405, "method_not_allowed", message, headers={"Allow": allow})


def _path(request: web.Request) -> str:
    """As it was declared: what stands in its braces may be anybody's."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


def _request_id(request: web.Request) -> str:
    for name in _REQUEST_ID_HEADERS:
        given = request.headers.get(name, "")
        if _REQUEST_ID.fullmatch(given):
            return given
    return token_hex(16)


def _answer(operation: Operation, answered: Any, request_id: str) -> web.StreamResponse:
    status = operation.statuses[0]
    if isinstance(answered, web.StreamResponse):
        answered.headers["X-Request-ID"] = request_id
        return answered
    if isinstance(answered, Answer):
        answered, status = answered.content, answered.status
    body = b"" if answered is None else to_json(answered)
    return _json(body, status, request_id)


def _error(request: web.Request, request_id: str, error: Exception) -> web.Response:
    known = api_error_of(error)
    if known is None:
        _log.error(
            "Request failed",
            method=request.method,
            path=_path(request),
            request_id=request_id,
            exc_info=error,
        )
        known = ApiError(500, "internal_error", "this went wrong; the log says why")
    detail: dict[str, object] = {
        "code": known.code,
        "message": known.message,
        "request_id": request_id,
    }
    if known.fields:
        detail["fields"] = dict(known.fields)
    return _json(orjson.dumps({"error": detail}), known.status, request_id, known.headers)


def _json(
    body: bytes, status: int, request_id: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=body,
        status=status,
        content_type=_JSON,
        headers={**(headers or {}), "X-Request-ID": request_id},
    )
