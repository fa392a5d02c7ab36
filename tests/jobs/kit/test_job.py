"""A declaration that does not fit stops the import, a payload that does not stops the enqueue."""

import re
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from pydantic import Field

from jobs.kit import (
    QUEUES,
    Cron,
    DeclarationError,
    Job,
    JobContext,
    Payload,
    PayloadError,
    Retry,
    TenantPayload,
    Tick,
    job,
)
from jobs.kit.declare import _DECLARED, declared

NAME = "testing_kit.write_letter"
TENANT, OTHER_TENANT = UUID(int=1), UUID(int=2)
NO_CONTEXT = cast("JobContext", None)  # these jobs do not look at it


class Letter(Payload):
    letter_id: int
    to: str = "nobody"


class TenantLetter(TenantPayload):
    letter_id: int
    step: int = Field(1, ge=1, le=5)


async def write_letter(ctx: JobContext, payload: Letter) -> str:
    return f"Dear {payload.to}"


async def write_tenant_letter(ctx: JobContext, payload: TenantLetter) -> None: ...


async def write_on_time(ctx: JobContext, tick: Tick) -> datetime:
    return tick.due_at


def write_at_once(ctx: JobContext, payload: Letter) -> str:
    return payload.to


async def write_unread(ctx: JobContext, payload) -> None: ...  # type: ignore[no-untyped-def] # the mistake


async def write_dict(ctx: JobContext, payload: dict[str, int]) -> None: ...


async def write_without_context(payload: Letter) -> None: ...


async def write_with_more(ctx: JobContext, payload: Letter, stamp: str) -> None: ...


async def write_by_keyword(ctx: JobContext, *, payload: Letter) -> None: ...


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """Jobs that a test declares are forgotten when it ends."""
    before = dict(_DECLARED)
    yield
    _DECLARED.clear()
    _DECLARED.update(before)


def declare(
    function: Callable[..., Any] = write_letter, name: str = NAME, **options: Any
) -> Job[Any, Any]:
    return job(name, **{"queue": "default", **options})(function)


def refusal(function: Callable[..., Any] = write_letter, **options: Any) -> str:
    """The sentence that this declaration is refused with; nothing of it may stay."""
    before = dict(_DECLARED)
    with pytest.raises(DeclarationError) as refused:
        declare(function, **options)
    assert before == _DECLARED
    return str(refused.value)


async def test_a_job_is_called_like_its_function() -> None:
    declared_job = declare()

    assert await declared_job(NO_CONTEXT, Letter(letter_id=1, to="Ada")) == "Dear Ada"


def test_a_job_is_known_under_its_name_and_its_aliases() -> None:
    declared_job = declare(aliases=("testing_kit.old", "old-letter"))

    names = [NAME, "testing_kit.old", "old-letter"]
    assert all(declared()[name] is declared_job for name in names)


@pytest.mark.parametrize(
    ("aliases", "first_name"),
    [
        ((), NAME),
        (("old-letter",), NAME),  # what others call it was never its name here
        (("testing_kit.old",), "testing_kit.old"),
        (("old-letter", "testing_kit.oldest", "testing_kit.old"), "testing_kit.oldest"),
    ],
)
def test_a_renamed_job_has_the_ids_of_its_first_name(
    aliases: tuple[str, ...], first_name: str
) -> None:
    assert declare(aliases=aliases).first_name == first_name


def test_what_a_declaration_leaves_out_has_defaults() -> None:
    declared_job = declare()

    assert (declared_job.queue, declared_job.payload) == ("default", Letter)
    assert declared_job.timeout == timedelta(minutes=5)
    assert declared_job.result_ttl == timedelta(hours=1)
    assert declared_job.retry is None  # its queue's holds
    assert declared_job.aliases == ()
    assert declared_job.schedule is None


def test_what_a_declaration_says_is_kept() -> None:
    retry = Retry(attempts=4)
    declared_job = declare(retry=retry, timeout=0.5, result_ttl=0, sensitive=("to",))

    assert declared_job.retry is retry
    assert declared_job.timeout == timedelta(milliseconds=500)
    assert declared_job.result_ttl == timedelta(0)
    assert declared_job.sensitive == {"to"}


def test_a_declaration_cannot_be_changed_afterwards() -> None:
    declared_job = declare()

    with pytest.raises(FrozenInstanceError):
        declared_job.queue = "email"  # type: ignore[misc] # the mistake


@pytest.mark.parametrize(
    ("name", "aliases"),
    [
        (NAME, ()),
        ("old-letter", ()),
        ("testing_kit.other", (NAME,)),
        ("testing_kit.other", ("old-letter",)),
    ],
)
def test_two_jobs_of_one_name_are_refused_with_both_places(
    name: str, aliases: tuple[str, ...]
) -> None:
    declare(aliases=("old-letter",))
    taken = NAME if NAME in (name, *aliases) else "old-letter"

    assert refusal(write_on_time, name=name, aliases=aliases) == (
        f"two jobs are called '{taken}': {__name__}.write_letter and {__name__}.write_on_time; "
        "rename one of them"
    )


def test_an_unknown_queue_is_refused_with_the_list() -> None:
    sentence = refusal(queue="emial")

    assert sentence == f"{NAME}: there is no queue 'emial'; choose {', '.join(QUEUES)}"


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (write_at_once, "a job is an `async def` function"),
        (write_unread, "the payload is annotated with None, which is not a Payload model"),
        (write_dict, "the payload is annotated with dict[str, int], which is not a Payload model"),
        (write_without_context, "a job takes (ctx, payload), not ('payload',)"),
        (write_with_more, "a job takes (ctx, payload), not ('ctx', 'payload', 'stamp')"),
    ],
)
def test_a_function_that_cannot_be_a_job_is_refused(
    function: Callable[..., Any], sentence: str
) -> None:
    assert refusal(function) == f"{NAME}: {sentence}"


def test_a_payload_by_keyword_is_refused_because_nobody_would_pass_it_so() -> None:
    assert refusal(write_by_keyword).startswith(f"{NAME}: a job takes (ctx, payload)")


@pytest.mark.parametrize("option", ["idempotency_key", "sensitive"])
def test_an_option_that_names_a_missing_field_is_refused(option: str) -> None:
    value: Any = "{letter_id}:{age}" if option == "idempotency_key" else ("to", "age")

    assert refusal(**{option: value}) == (
        f"{NAME}: {option} names age, which Letter does not have (letter_id, to)"
    )


@pytest.mark.parametrize("key", ["", "always", "{{letter_id}}"])
def test_an_idempotency_key_without_a_field_is_refused(key: str) -> None:
    sentence = refusal(idempotency_key=key)

    assert sentence == f"{NAME}: idempotency_key names no field: all runs would be one"


@pytest.mark.parametrize(
    "key", ["{letter_id", "letter_id}", "{}", "{letter_id}:{}", "{letter_id:{x}}"]
)
def test_an_idempotency_key_that_could_not_be_filled_in_is_refused(key: str) -> None:
    assert refusal(idempotency_key=key).startswith(f"{NAME}: idempotency_key")


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1}, {"result_ttl": -1}])
def test_a_timeout_of_nothing_is_refused(options: dict[str, Any]) -> None:
    assert refusal(**options) == f"{NAME}: timeout is more than 0, result_ttl is not negative"


def test_a_scheduled_job_without_a_tick_is_refused() -> None:
    sentence = refusal(schedule=Cron("0 8 * * *"))

    assert sentence.startswith(f"{NAME}: a scheduled job takes a Tick, or a model built on it")
    assert sentence.endswith("not Letter")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"singleton": True}, "a scheduled job has no singleton"),
        ({"worker": "stock"}, "a worker is called like StockReconciliationWorker"),
        ({"worker": "StockWorker", "schedule": None}, "a worker has a schedule"),
    ],
)
def test_options_that_a_scheduled_job_cannot_have_are_refused(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(DeclarationError, match=said):
        declare(write_on_time, **{"schedule": Cron("0 8 * * *"), **options})


async def test_a_scheduled_job_is_given_its_tick() -> None:
    due_at = datetime(2026, 3, 1, 8, tzinfo=UTC)
    declared_job = declare(write_on_time, schedule=Cron("0 8 * * *"))

    tick = declared_job.validate({"due_at": due_at.isoformat()})

    assert await declared_job(NO_CONTEXT, tick) == due_at


def test_a_mapping_becomes_the_model() -> None:
    payload = declare(write_tenant_letter).validate({"tenant_id": str(TENANT), "letter_id": "7"})

    assert payload == TenantLetter(tenant_id=TENANT, letter_id=7, step=1)


def test_a_model_stays_what_it_is() -> None:
    letter = TenantLetter(tenant_id=TENANT, letter_id=7, step=5)

    assert declare(write_tenant_letter).validate(letter) == letter


def test_whoever_enqueues_is_told_of_fields_that_do_not_exist() -> None:
    with pytest.raises(PayloadError) as refused:
        declare().validate({"letter_id": 1, "too": "Ada", "cc": "Grace"})

    assert refused.value.problems == ["unknown field cc, too (it has: letter_id, to)"]


def test_another_jobs_payload_is_refused() -> None:
    with pytest.raises(PayloadError, match="unknown field step, tenant_id"):
        declare().validate(TenantLetter(tenant_id=TENANT, letter_id=7))


def test_a_worker_passes_over_fields_that_a_newer_release_added() -> None:
    payload = declare().read({"letter_id": 1, "cc": "Grace"})

    assert payload == Letter(letter_id=1)


def test_a_refused_payload_has_one_line_per_field_and_no_value() -> None:
    wrong = {"tenant_id": "ada@example.com", "letter_id": "canary", "step": 77}

    with pytest.raises(PayloadError) as refused:
        declare(write_tenant_letter).validate(wrong)

    fields = [line.partition(":")[0] for line in refused.value.problems]
    assert fields == ["tenant_id", "letter_id", "step"]
    assert str(refused.value) == (
        f"the payload of {NAME} is not valid: " + "; ".join(refused.value.problems)
    )
    assert not re.search("ada@|canary|77", str(refused.value))
    # pydantic's own error shows the values, so no traceback leads to it
    assert (refused.value.__cause__, refused.value.__suppress_context__) == (None, True)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(PayloadError) as refused:
        declare().validate({})

    assert refused.value.problems == ["letter_id: Field required"]


@pytest.mark.parametrize("data", [None, 3, ["letter_id"], {1: 2}])
def test_what_is_no_mapping_of_fields_is_refused_like_any_payload(data: object) -> None:
    with pytest.raises(PayloadError):
        declare().validate(cast("dict[str, Any]", data))


def test_an_idempotency_key_is_filled_in_from_the_payload() -> None:
    declared_job = declare(idempotency_key="{letter_id}:{to}")

    assert declared_job.key_of(Letter(letter_id=7, to="Ada")) == "7:Ada"


def test_keys_of_two_tenants_never_meet() -> None:
    declared_job = declare(write_tenant_letter, idempotency_key="{letter_id}")

    keys = [
        declared_job.key_of(TenantLetter(tenant_id=tenant, letter_id=7))
        for tenant in (TENANT, OTHER_TENANT)
    ]

    assert keys == [f"{TENANT}:7", f"{OTHER_TENANT}:7"]


def test_a_job_without_idempotency_key_has_none_for_any_payload() -> None:
    assert declare().key_of(Letter(letter_id=7)) is None
