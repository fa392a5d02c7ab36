"""`/api/v1/openapi.json` (OpenAPI 3.1), made from the operations' declarations alone."""

import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from worker import __version__
from worker.sidecar.access.principal import Role
from worker.sidecar.api.errors import Error
from worker.sidecar.api.operation import Body, Call, NoParameters, Operation, operation

_SCHEMAS: Final = "#/components/schemas/{model}"
_TEXT: Final = {"type": "string"}
_SECURITY: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "ADMIN_TOKEN, or a JSON Web Token that JWT_SECRET signed",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "one of ADMIN_USERS"},
}
_REQUEST_ID: Final = {
    "X-Request-ID": {"description": "The request's, or a new one.", "schema": _TEXT}
}


def description_of(operations: Sequence[Operation]) -> Operation:
    """The operation that describes these, and itself."""
    rendered: list[bytes] = []

    @operation(
        "GET",
        "/openapi.json",
        tag="api",
        role=Role.VIEWER,
        tenants=True,
        summary="This description.",
    )
    async def describe_api(call: Call[NoParameters, None]) -> web.Response:
        if not rendered:
            rendered.append(orjson.dumps(document((*operations, call.operation))))
        return web.Response(body=rendered[0], content_type="application/json")

    return describe_api


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document."""
    operations = tuple(operations)
    schemas = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        parameters = schemas[one.parameters.__name__]
        paths.setdefault(one.path, {})[one.method.lower()] = _described(one, parameters)
    used = {one.parameters.__name__ for one in operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "deskhand",
            "version": __version__,
            "description": "Enqueue, watch and mend the runs of background jobs.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in operations)],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name not in used},
            "securitySchemes": _SECURITY,
        },
    }


def _schemas(operations: Iterable[Operation]) -> dict[str, dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], Any], None] = {(Error, "serialization"): None}
    for one in operations:
        wanted[one.parameters, "validation"] = None
        if one.body is not None and issubclass(one.body, Body):
            wanted[one.body, "validation"] = None
        if one.answer is not None:
            wanted[one.answer, "serialization"] = None
    _, schema = models_json_schema(list(wanted), ref_template=_SCHEMAS)
    found: dict[str, dict[str, Any]] = schema["$defs"]
    return found


def _described(one: Operation, parameters: dict[str, Any]) -> dict[str, Any]:
    answers = {str(status): _good(one, status) for status in one.statuses}
    answers |= {str(status): _bad(status) for status in sorted(error_statuses(one))}
    described: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.summary,
        "parameters": list(_parameters(one, parameters)),
        "responses": answers,
        "security": [] if one.role is None else [{name: []} for name in _SECURITY],
        "x-role": None if one.role is None else str(one.role),
        "x-tenants": one.tenants,
    }
    if one.description:
        described["description"] = one.description
    if one.body is not None:
        described["requestBody"] = _body(one.body)
    return described


def error_statuses(one: Operation) -> set[int]:
    """All that it may answer when it does not do what was asked."""
    statuses = {*one.errors, 503}
    if one.role is not None:
        statuses |= {401, 403, 421, 429}
    if one.is_change:
        statuses |= {403, 429}
    statuses.add(422)  # a query may always hold what is not known
    if one.body is not None:
        statuses |= {400, 408, 413}
        if issubclass(one.body, Body):
            statuses.add(415)
    return statuses


def _parameters(one: Operation, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    in_path = re.findall(r"{(\w+)}", one.path)
    for name, described in schema.get("properties", {}).items():
        is_path = name in in_path
        shape = {key: value for key, value in described.items() if key != "description"}
        parameter = {
            "name": name,
            "in": "path" if is_path else "query",
            "required": is_path or name in schema.get("required", ()),
            "schema": _without_null(shape),
        }
        if "description" in described:
            parameter["description"] = described["description"]
        yield parameter


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what is not given is not there."""
    options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    rest = {
        key: value
        for key, value in schema.items()
        if key not in ("anyOf", "title") and not (key == "default" and value is None)
    }
    match options:
        case []:
            return rest
        case [only]:
            return {**only, **rest}
        case _:
            return {**rest, "anyOf": options}


def _body(body: type[Body | bytes]) -> dict[str, Any]:
    if not issubclass(body, Body):
        return {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
    schema = {"$ref": _SCHEMAS.format(model=body.__name__)}
    is_needed = any(field.is_required() for field in body.model_fields.values())
    return {"required": is_needed, "content": {"application/json": {"schema": schema}}}


def _good(one: Operation, status: int) -> dict[str, Any]:
    schema: dict[str, Any] = _TEXT if one.media_type.startswith("text/") else {"type": "object"}
    if one.answer is not None:
        schema = {"$ref": _SCHEMAS.format(model=_component(one.answer))}
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _REQUEST_ID,
        "content": {one.media_type: {"schema": schema}},
    }


def _component(model: type[BaseModel]) -> str:
    """As pydantic names it: `Page[Queue]` is no name for a component."""
    return re.sub(r"[^a-zA-Z0-9.\-_]", "_", model.__name__)


def _bad(status: int) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _REQUEST_ID,
        "content": {"application/json": {"schema": {"$ref": _SCHEMAS.format(model="Error")}}},
    }
