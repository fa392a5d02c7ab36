"""`@job`: everything about a job stands right above its function."""

import inspect
import math
import string
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar, get_type_hints
from urllib.parse import quote

from pydantic import ValidationError

from jobs.kit.context import JobContext
from jobs.kit.payload import Payload, TenantPayload
from jobs.kit.queue import QUEUES
from jobs.kit.retry import Retry
from jobs.kit.schedule import Cron, Tick

P = TypeVar("P", bound=Payload)
R = TypeVar("R")


class DeclarationError(Exception):
    """A job is declared wrongly; the sentence says which, and what to change."""


class PayloadError(Exception):
    """A payload does not fit its job. `problems` has one line per field, without its value."""

    def __init__(self, job: str, problems: list[str]) -> None:
        super().__init__(f"the payload of {job} is not valid: " + "; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[P, R]):
    """A declared job. Call it like its function, or enqueue it with a checked payload."""

    name: str
    queue: str
    payload: type[P]
    function: Callable[[JobContext, P], Awaitable[R]]
    retry: Retry | None
    timeout: timedelta
    idempotency_key: str | None
    schedule: Cron | None
    result_ttl: timedelta
    aliases: tuple[str, ...]
    sensitive: frozenset[str]
    # The payload's fields, the timeout in seconds, the result's life: asked for with every run.
    fields: frozenset[str] = field(init=False)
    seconds: float = field(init=False)
    result_ttl_ms: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", frozenset(self.payload.model_fields))
        object.__setattr__(self, "seconds", self.timeout.total_seconds())
        object.__setattr__(self, "result_ttl_ms", int(self.result_ttl.total_seconds() * 1000))

    async def __call__(self, ctx: JobContext, payload: P) -> R:
        return await self.function(ctx, payload)

    def validate(self, data: Mapping[str, Any] | Payload) -> P:
        """Check the payload of a run that is to be; refuses fields that the model does not know.

        Raises PayloadError.
        """
        if type(data) is dict and self.fields.issuperset(data):
            return self.read(data)  # as most are
        if isinstance(data, Payload):
            data = data.model_dump(mode="json")
        if not isinstance(data, Mapping) or not all(isinstance(name, str) for name in data):
            raise PayloadError(self.name, ["payload: it is a mapping of field names to values"])
        unknown = sorted(set(data) - self.fields)
        if unknown:
            known = ", ".join(self.payload.model_fields)
            names = ", ".join(unknown)
            raise PayloadError(self.name, [f"unknown field {names} (it has: {known})"])
        return self.read(dict(data))

    def read(self, data: Mapping[str, Any]) -> P:
        """The payload of a run that is there: fields of newer versions are left out.

        Raises PayloadError.
        """
        try:
            # Through JSON's rules, because that is what the run will carry. This is what
            # `model_validate` calls, at half its cost.
            read: P = self.payload.__pydantic_validator__.validate_python(data, strict=False)
        except ValidationError as error:
            raise PayloadError(self.name, _problems(error)) from None
        return read

    def key_of(self, payload: Payload) -> str | None:
        """The idempotency key of this payload; a tenant's keys never meet another's."""
        if self.idempotency_key is None:
            return None
        # Quoted, so that ("1:2", "3") and ("1", "2:3") stay two.
        values = payload.model_dump(mode="json")
        fields = {name: quote(str(value), safe=" /@") for name, value in values.items()}
        key = self.idempotency_key.format_map(fields)
        return f"{payload.tenant_id}:{key}" if isinstance(payload, TenantPayload) else key


_DECLARED: dict[str, Job[Any, Any]] = {}


def declared() -> Mapping[str, Job[Any, Any]]:
    """All jobs imported so far, under their names and aliases."""
    return _DECLARED


def job(
    name: str,
    *,
    queue: str,
    retry: Retry | None = None,
    timeout: float = 300,
    idempotency_key: str | None = None,
    schedule: Cron | None = None,
    result_ttl: float = 3600,
    aliases: tuple[str, ...] = (),
    sensitive: tuple[str, ...] = (),
) -> Callable[[Callable[[JobContext, P], Awaitable[R]]], Job[P, R]]:
    """Declare and register a job.

    name             `<domain>.<verb>_<noun>`, spelled out; `aliases` keep older names runnable
    queue            one of `QUEUES`; its retry policy holds unless `retry` says otherwise
    timeout          seconds an attempt may take
    idempotency_key  over the payload's fields, as in "{invoice_id}:{step}"
    result_ttl       seconds the result is kept for whoever asks
    sensitive        payload fields that are never shown

    Raises DeclarationError when something does not fit.
    """

    def declare(function: Callable[[JobContext, P], Awaitable[R]]) -> Job[P, R]:
        payload = _payload_type(name, function)
        _check_queue(name, queue)
        _check_fields(name, payload, idempotency_key, sensitive)
        if not (0 < timeout < math.inf and 0 <= result_ttl < math.inf):
            raise DeclarationError(f"{name}: timeout is more than 0, result_ttl is not negative")
        if schedule is not None and payload is not Tick:
            raise DeclarationError(f"{name}: a scheduled job takes a Tick, not {payload.__name__}")
        declaration = Job(
            name=name,
            queue=queue,
            payload=payload,
            function=function,
            retry=retry,
            timeout=timedelta(seconds=timeout),
            idempotency_key=idempotency_key,
            schedule=schedule,
            result_ttl=timedelta(seconds=result_ttl),
            aliases=aliases,
            sensitive=frozenset(sensitive),
        )
        _register(declaration)
        return declaration

    return declare


def _register(declaration: Job[Any, Any]) -> None:
    for name in (declaration.name, *declaration.aliases):
        other = _DECLARED.get(name)
        if other is not None:
            raise DeclarationError(
                f"two jobs are called {name!r}: {_where(other)} and {_where(declaration)}; "
                "rename one of them"
            )
    _DECLARED.update(dict.fromkeys((declaration.name, *declaration.aliases), declaration))


def _where(declaration: Job[Any, Any]) -> str:
    return f"{declaration.function.__module__}.{declaration.function.__qualname__}"


def _payload_type(name: str, function: Callable[..., Any]) -> type[Any]:
    if not inspect.iscoroutinefunction(function):
        raise DeclarationError(f"{name}: a job is an `async def` function")
    parameters = inspect.signature(function).parameters
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        raise DeclarationError(
            f"{name}: a job takes (ctx, payload), not {tuple(parameters)}"
        ) from None
    hint = get_type_hints(function).get(list(parameters)[1]) if len(parameters) > 1 else None
    if not (isinstance(hint, type) and issubclass(hint, Payload)):
        raise DeclarationError(
            f"{name}: the payload is annotated with {hint!r}, which is not a Payload model"
        )
    return hint


def _check_queue(name: str, queue: str) -> None:
    if queue not in QUEUES:
        raise DeclarationError(f"{name}: there is no queue {queue!r}; choose {', '.join(QUEUES)}")


def _check_fields(
    name: str, payload: type[Payload], idempotency_key: str | None, sensitive: tuple[str, ...]
) -> None:
    pattern = _fields_of(name, idempotency_key or "")
    for option, fields in (("idempotency_key", pattern), ("sensitive", list(sensitive))):
        missing = [field for field in fields if field and field not in payload.model_fields]
        if missing:
            raise DeclarationError(
                f"{name}: {option} names {', '.join(missing)}, "
                f"which {payload.__name__} does not have ({', '.join(payload.model_fields)})"
            )
    if idempotency_key is not None and not all(pattern or [""]):
        raise DeclarationError(f"{name}: idempotency_key names no field: all runs would be one")


def _fields_of(name: str, pattern: str) -> list[str]:
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise DeclarationError(f"{name}: idempotency_key {pattern!r}: {error}") from None
    # Plain fields only: what is looked up inside a value may be missing in the next payload.
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise DeclarationError(
            f"{name}: idempotency_key {pattern!r}: write each field as {{field}}"
        )
    return [field for _, field, _, _ in parts if field is not None]


def _problems(error: ValidationError) -> list[str]:
    """One line per field. Neither pydantic's `input` nor its `ctx`: they may hold personal data."""
    return [
        f"{'.'.join(map(str, item['loc'])) or 'payload'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
