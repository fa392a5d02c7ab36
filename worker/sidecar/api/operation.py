"""`@operation`: everything about an operation stands right above its function.

    @operation("GET", "/queues", tag="queues", role=Role.VIEWER, summary="All queues.")
    async def list_queues(call: Call[NoParameters, None]) -> QueueList: ...

`Call[parameters, body]` says what it takes: one model of path and query, and one of the JSON body
(None: no body; bytes: the body as it is). It returns a model, an `Answer` of one when there are
several good statuses, or a response of aiohttp's own.
"""

import re
import types
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    Self,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

from aiohttp import web
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import override

from worker.sidecar.access.principal import Principal, Role
from worker.sidecar.api.services import Services

BASE: Final = "/api/v1"

P = TypeVar("P", bound="Parameters")
B = TypeVar("B")
M = TypeVar("M", bound=BaseModel)

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Function = Callable[["Call[Any, Any]"], Awaitable[Any]]


def _is_written_out(value: object) -> object:
    """Pydantic takes numbers too: seconds or milliseconds, as it guesses."""
    if not (isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[Tt ]", value, re.ASCII)):
        raise ValueError("is an instant as in 2026-11-30T12:00:00Z")
    return value


# What callers say; answers have AwareDatetime.
# Behind a validator of Python's own, pydantic's strictness would know no instants as text.
Instant = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_is_written_out)]


class Parameters(BaseModel):
    """Base of what stands in path and query; names that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParameters(Parameters):
    """For operations without any."""


class PageParameters(Parameters):
    """Which page of a list."""

    limit: int = Field(50, ge=1, le=200, description="At most so many.")
    after: str | None = Field(
        None, min_length=1, max_length=300, description="`next` of the page before."
    )


class Body(BaseModel):
    """Base of JSON bodies; names that are not known are refused.

    Strict: what its schema calls a number is none as a text, either.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Change(Body):
    """Base of bodies of PATCH: what is not given is None, and stays; null is refused."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_something(cls, value: object) -> object:
        if value is None:
            raise ValueError("is null: leave it out, and it stays")
        return value

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("say what is to be changed")
        return self

    @classmethod
    @override
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        """Without null, and without defaults: a change has none."""
        schema = handler(core_schema)
        for known in handler.resolve_ref_schema(schema)["properties"].values():
            known.pop("default", None)
            some = [kind for kind in known.pop("anyOf", ()) if kind.get("type") != "null"]
            known.update(*some)
        return schema


class Answered(BaseModel):
    """Base of what operations return."""

    model_config = ConfigDict(frozen=True)


I_ = TypeVar("I_", bound=BaseModel)


class Page(Answered, Generic[I_]):
    """Some of a list; `next` leads to the following ones, and is null at the end."""

    items: list[I_]
    next: str | None


@dataclass(frozen=True, slots=True)
class Answer(Generic[M]):
    """A model with another of the operation's statuses."""

    content: M
    status: int


@dataclass(slots=True, kw_only=True)
class Call(Generic[P, B]):
    """One request, checked.

    `is_audited` is true once an entry of the audit log tells of it, which says `affected`: to how
    many it was done. What is audited only when it is asked for says its `action` here first.
    """

    operation: "Operation"
    parameters: P
    body: B
    principal: Principal
    services: Services
    request: web.Request
    request_id: str
    action: str | None = None
    is_audited: bool = False
    affected: int | None = None

    @property
    def tenant_id(self) -> UUID | None:
        """The tenant whose data this may concern; None: any."""
        return self.principal.tenant_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path. `role` None: open to all; `tenants`: also to whoever is bound to one.

    `action` is its name in the audit log, which what changes something has, unless `unaudited`
    says why not.
    """

    method: Method
    path: str
    tag: str
    summary: str
    description: str
    role: Role | None
    tenants: bool
    statuses: tuple[int, ...]
    errors: tuple[int, ...]
    action: str | None
    unaudited: str | None
    media_type: str
    parameters: type[Parameters]
    body: type[Body | bytes] | None
    answer: type[BaseModel] | None
    function: Function

    @property
    def is_change(self) -> bool:
        """May it change anything?"""
        return self.method != "GET"

    @property
    def name(self) -> str:
        return str(self.function.__name__)


def operation(
    method: Method,
    path: str,
    *,
    tag: str,
    summary: str,
    role: Role | None,
    tenants: bool = False,
    status: int = 200,
    also: tuple[int, ...] = (),
    errors: tuple[int, ...] = (),
    action: str | None = None,
    unaudited: str | None = None,
    base: str = BASE,
    media_type: str = "application/json",
) -> Callable[[Callable[[Call[P, B]], Awaitable[Any]]], Operation]:
    """Declare an operation; its docstring goes on where `summary` ends.

    `also` are further statuses of success, `errors` those that do not follow from the declaration
    (404, 409). With `base=""` the path is absolute. Raises TypeError for a wrong declaration.
    """

    def declare(function: Callable[[Call[P, B]], Awaitable[Any]]) -> Operation:
        parameters, body, answer = _types(function)
        if method != "GET" and (action is None) == (unaudited is None):
            raise TypeError(f"{path}: what changes something has an action, or is unaudited")
        return Operation(
            method=method,
            path=base + path,
            tag=tag,
            summary=summary,
            description=(function.__doc__ or "").strip(),
            role=role,
            tenants=tenants,
            statuses=(status, *also),
            errors=errors,
            action=action,
            unaudited=unaudited,
            media_type=media_type,
            parameters=parameters,
            body=body,
            answer=answer,
            function=function,
        )

    return declare


def _types(
    function: Callable[..., Any],
) -> tuple[type[Parameters], type[Body | bytes] | None, type[BaseModel] | None]:
    hints = get_type_hints(function)
    returned = hints.pop("return", None)
    call = next(iter(hints.values()), None)
    if get_origin(call) is not Call:
        raise TypeError(f"{function.__qualname__} takes a Call[parameters, body]")
    parameters, body = get_args(call)
    if isinstance(returned, types.UnionType):  # a model, or a response of aiohttp's own
        returned = get_args(returned)[0]
    answer = get_args(returned)[0] if get_origin(returned) is Answer else returned
    is_model = isinstance(answer, type) and issubclass(answer, BaseModel)
    return parameters, None if body is types.NoneType else body, answer if is_model else None
