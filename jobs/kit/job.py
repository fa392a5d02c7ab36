"""A declared job, and what it makes of payloads."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeAlias, TypeVar

import orjson
from pydantic import ValidationError

from jobs.kit.context import JobContext
from jobs.kit.controls import Controls, Repeats
from jobs.kit.payload import Payload, TenantPayload
from jobs.kit.retry import Retry
from jobs.kit.schedule import Schedule
from jobs.kit.template import short

P = TypeVar("P", bound=Payload)
R = TypeVar("R")


# Is what the payload (the second) names there? The first is the asyncpg pool.
Admits: TypeAlias = Callable[[Any, Any], Awaitable[bool]]


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
    schedule: Schedule | None
    result_ttl: timedelta
    aliases: tuple[str, ...]
    sensitive: frozenset[str]
    worker: str | None = None
    exposed: bool = False
    admits: Admits | None = None
    controls: Controls = field(default_factory=Controls)
    repeats: Repeats = field(default_factory=Repeats)
    # The payload's fields, the timeout in seconds, the result's life: asked for with every run.
    fields: frozenset[str] = field(init=False)
    seconds: float = field(init=False)
    result_ttl_ms: int = field(init=False)
    # Do its runs carry words for the engine, have ids that follow from their payload, become one?
    has_words: bool = field(init=False)
    is_keyed: bool = field(init=False)
    is_merging: bool = field(init=False)
    # What ids made from idempotency keys begin with: the same name before and after a renaming.
    first_name: str = field(init=False)

    def __post_init__(self) -> None:
        has_words = self.controls.any or self.repeats.throttle is not None
        again = self.repeats
        is_keyed = bool(again.idempotency or again.cache or again.unique_for)
        object.__setattr__(self, "has_words", has_words)
        object.__setattr__(self, "is_keyed", is_keyed)
        object.__setattr__(self, "is_merging", bool(again.merging) or self.controls.singleton)
        object.__setattr__(self, "fields", frozenset(self.payload.model_fields))
        object.__setattr__(self, "seconds", self.timeout.total_seconds())
        object.__setattr__(self, "result_ttl_ms", int(self.result_ttl.total_seconds() * 1000))
        names = (name for name in (*self.aliases, self.name) if "." in name)
        object.__setattr__(self, "first_name", next(names, self.name))

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
        data = self.payload.plain(data)
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

    @property
    def idempotency_key(self) -> str | None:
        """The template, as it was declared."""
        return None if self.repeats.idempotency is None else self.repeats.idempotency.text

    def key_of(self, payload: Payload) -> str | None:
        """The idempotency key of this payload; a tenant's keys never meet another's."""
        repeats = self.repeats
        template = repeats.cache or repeats.idempotency
        if template is not None:
            return tenants_own(template.of(payload.model_dump(mode="json")), payload)
        return fingerprint(payload) if repeats.unique_for is not None else None

    def words_of(self, payload: Payload, priority: int | None = None) -> list[str]:
        """What a run carries for the engine (jobs/kit/controls.py). Raises ValueError."""
        if not self.has_words and not priority:
            return []
        words = self.controls.words(self.first_name, payload.model_dump(mode="json"), priority)
        throttle = self.repeats.throttle
        if throttle is not None:
            words.append(f"r1/{int(throttle.per * 1000)}/{self.merge_key_of(payload)}")
        return words

    def merge_key_of(self, payload: Payload) -> str | None:
        """Requests with the same one become one run; None when each is its own."""
        if self.controls.singleton:
            return self.first_name
        template = self.repeats.merging
        if template is None:
            return None
        key = tenants_own(template.of(payload.model_dump(mode="json")), payload)
        return f"{self.first_name}:{short(key)}"


def tenants_own(key: str, payload: Payload) -> str:
    """A key that meets no other tenant's."""
    return f"{payload.tenant_id}:{key}" if isinstance(payload, TenantPayload) else key


def fingerprint(payload: Payload) -> str:
    """The same for two payloads that are equal: SHA-256 of their JSON, 32 hexadecimal digits.

    Without what has its default, so that a field which the next version adds makes no difference.
    """
    values = payload.model_dump(mode="json", exclude_defaults=True)
    canonical = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:32]


def _problems(error: ValidationError) -> list[str]:
    """One line per field. Neither pydantic's `input` nor its `ctx`: they may hold personal data."""
    return [
        f"{'.'.join(map(str, item['loc'])) or 'payload'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
