"""`@job`: everything about a job stands right above its function."""

import inspect
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypedDict, TypeVar, Unpack, get_type_hints

from jobs.kit.context import JobContext
from jobs.kit.controls import Controls, Repeats, problem_of, template_of
from jobs.kit.job import Admits, Job
from jobs.kit.limits import Debounce, RateLimit, Throttle
from jobs.kit.payload import Payload
from jobs.kit.queue import QUEUES
from jobs.kit.retry import Retry
from jobs.kit.schedule import Schedule, Tick
from jobs.kit.template import TemplateError

P = TypeVar("P", bound=Payload)
R = TypeVar("R")


class DeclarationError(Exception):
    """A job is declared wrongly; the sentence says which, and what to change."""


_WORKER = re.compile(r"([A-Z][a-z0-9]+)+Worker")
_DECLARED: dict[str, Job[Any, Any]] = {}


def declared() -> Mapping[str, Job[Any, Any]]:
    """All jobs imported so far, under their names and aliases."""
    return _DECLARED


class Options(TypedDict, total=False):
    """What `@job` takes besides name and queue. Keys are over the payload's fields, as in
    "{invoice_id}:{step}"; times are in seconds.
    """

    # Its queue's retry policy holds unless this says otherwise.
    retry: Retry | None
    # What an attempt may take: 300.
    timeout: float
    # When it runs by itself. Such a job has one run at a time, unless its schedule overlaps.
    schedule: Schedule | None
    # The name under which people start it, and see whether it runs: "StockReconciliationWorker".
    worker: str | None
    # For how long the result is kept for whoever asks: 3600.
    result_ttl: float
    # Older names, oldest first, which stay runnable. Keys go on under the first that is spelled
    # out, so that a request is one to versions with either name.
    aliases: tuple[str, ...]
    # Payload fields that are never shown.
    sensitive: tuple[str, ...]
    # May others ask for its runs over HTTP?
    exposed: bool
    # Asked before such a run is enqueued: is what the payload names there?
    admits: Admits | None

    # When runs start, over all workers.
    # 0 to 9: a head start of so many minutes over runs that wait.
    priority: int
    rate_limits: tuple[RateLimit, ...]
    # At most `concurrency_limit` (1) of this job's runs of a key at once.
    concurrency_key: str | None
    concurrency_limit: int
    # One after the other, in order, of all jobs that write the same key.
    partition_key: str | None
    # One run at a time; who asks for another while it waits or runs is told which.
    singleton: bool

    # What becomes of a request that was made before.
    # It is the same run, while that waits, runs, or its result is kept ...
    idempotency_key: str | None
    # ... and for so long at least; without a key, of requests that are equal.
    unique_for: float | None
    # Many requests become few, with the newest payload.
    debounce: Debounce | None
    throttle: Throttle | None
    # For so long a request of the same key has the same result.
    cache_key: str | None
    cache_for: float | None


def job(
    name: str, *, queue: str, **options: Unpack[Options]
) -> Callable[[Callable[[JobContext, P], Awaitable[R]]], Job[P, R]]:
    """Declare and register a job, called `<domain>.<verb>_<noun>`, on one of `QUEUES`.

    Raises DeclarationError when something does not fit.
    """

    def declare(function: Callable[[JobContext, P], Awaitable[R]]) -> Job[P, R]:
        payload = _payload_type(name, function)
        declaration = _declaration(name, queue, payload, function, options)
        _register(declaration)
        return declaration

    return declare


def _declaration(
    name: str,
    queue: str,
    payload: type[P],
    function: Callable[[JobContext, P], Awaitable[R]],
    options: Options,
) -> Job[P, R]:
    timeout, schedule = options.get("timeout", 300), options.get("schedule")
    result_ttl = options.get("result_ttl", 3600)
    sensitive = options.get("sensitive", ())
    _check_queue(name, queue)
    _check_sensitive(name, payload, sensitive)
    if not (0 < timeout < math.inf and 0 <= result_ttl < math.inf):
        raise DeclarationError(f"{name}: timeout is more than 0, result_ttl is not negative")
    controls, repeats = _controls(name, payload, options)
    if schedule is not None:
        _check_schedule(name, payload, controls, repeats)
        controls = _one_at_a_time(schedule, controls)
    elif options.get("worker") is not None:
        raise DeclarationError(f"{name}: a worker has a schedule, if only OnDemand()")
    return Job(
        name=name,
        queue=queue,
        payload=payload,
        function=function,
        retry=options.get("retry"),
        timeout=timedelta(seconds=timeout),
        schedule=schedule,
        worker=_checked_worker(name, options.get("worker")),
        result_ttl=timedelta(seconds=repeats.cache_for or result_ttl),
        aliases=options.get("aliases", ()),
        sensitive=frozenset(sensitive),
        exposed=options.get("exposed", False),
        admits=options.get("admits"),
        controls=controls,
        repeats=repeats,
    )


def _controls(name: str, payload: type[Payload], options: Options) -> tuple[Controls, Repeats]:
    try:
        controls = Controls(
            rate_limits=tuple(options.get("rate_limits", ())),
            concurrency=template_of("concurrency_key", options.get("concurrency_key")),
            at_once=options.get("concurrency_limit", 1),
            singleton=options.get("singleton", False),
            partition=template_of("partition_key", options.get("partition_key")),
            priority=options.get("priority", 0),
        )
        repeats = Repeats(
            idempotency=template_of("idempotency_key", options.get("idempotency_key")),
            unique_for=options.get("unique_for"),
            debounce=options.get("debounce"),
            throttle=options.get("throttle"),
            cache=template_of("cache_key", options.get("cache_key")),
            cache_for=options.get("cache_for"),
        )
    except TemplateError as error:
        raise DeclarationError(f"{name}: {error}") from None
    problem = problem_of(controls, repeats, payload)
    if problem is not None:
        raise DeclarationError(f"{name}: {problem}")
    return controls, repeats


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


def _check_schedule(
    name: str, payload: type[Payload], controls: Controls, repeats: Repeats
) -> None:
    needed = {field for field, info in payload.model_fields.items() if info.is_required()}
    if not issubclass(payload, Tick) or needed != {"due_at"}:
        raise DeclarationError(
            f"{name}: a scheduled job takes a Tick, or a model built on it whose other fields "
            f"have defaults, not {payload.__name__}"
        )
    if controls.singleton or repeats.debounce or repeats.throttle:
        raise DeclarationError(
            f"{name}: a scheduled job has no singleton, debounce or throttle; its schedule keeps "
            "its runs apart"
        )


def _one_at_a_time(schedule: Schedule, controls: Controls) -> Controls:
    """However its runs came about: enqueued by hand, too."""
    if schedule.overlaps or controls.concurrency or controls.partition:
        return controls
    return replace(controls, concurrency=template_of("concurrency_key", "schedule"))


def _checked_worker(name: str, worker: str | None) -> str | None:
    if worker is not None and not _WORKER.fullmatch(worker):
        raise DeclarationError(f"{name}: a worker is called like StockReconciliationWorker")
    for other in _DECLARED.values():
        if worker is not None and other.worker == worker and other.name != name:
            raise DeclarationError(f"{name}: {other.name} is {worker} already")
    return worker


def _check_sensitive(name: str, payload: type[Payload], sensitive: tuple[str, ...]) -> None:
    missing = [field for field in sensitive if field not in payload.model_fields]
    if missing:
        raise DeclarationError(
            f"{name}: sensitive names {', '.join(missing)}, which {payload.__name__} does not have "
            f"({', '.join(payload.model_fields)})"
        )
