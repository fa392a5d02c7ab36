"""What reaches Sentry of an error that ends the worker, and what does not."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from time import monotonic

import pytest
import sentry_sdk

from tests.worker.telemetry.envelopes import SECRET, Envelopes, envelopes
from worker.telemetry.sentry import Sentry

CANARY = "kanarya-91c2"


@pytest.fixture
async def stand_in() -> AsyncIterator[Envelopes]:
    async with envelopes() as stand_in:
        yield stand_in


@pytest.fixture(autouse=True)
def _forget_the_client() -> Iterator[None]:
    yield
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(None)


def opened(dsn: str | None) -> Sentry:
    return Sentry(dsn, release="deskhand@9.8.7", environment="staging", server_name="billing")


def broken(text: str) -> Exception:
    """An error with a cause, from a frame that holds a secret."""
    password = f"hidden {CANARY}"
    try:
        try:
            raise KeyError(f"email={CANARY}@tenant.example")
        except KeyError as cause:
            assert password
            raise RuntimeError(text) from cause
    except RuntimeError as error:
        return error


async def sent(stand_in: Envelopes, error: Exception) -> None:
    sentry = opened(stand_in.dsn)
    sentry.report(error)
    await asyncio.to_thread(sentry.close)


async def test_an_error_arrives_with_where_it_came_from(stand_in: Envelopes) -> None:
    await sent(stand_in, broken("the loop broke"))

    (event,) = stand_in.events
    cause, error = event["exception"]["values"]
    assert (cause["type"], error["type"], error["value"]) == (
        "KeyError",
        "RuntimeError",
        "the loop broke",
    )
    frame = error["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["module"]) == ("broken", "tests.worker.telemetry.test_sentry")
    assert frame["lineno"] > 0
    place = (event["release"], event["environment"], event["server_name"], event["level"])
    assert place == ("deskhand@9.8.7", "staging", "billing", "error")


async def test_no_value_secret_or_personal_thing_leaves(stand_in: Envelopes) -> None:
    text = f"password={CANARY} of ayse.isik@anadolu.example, TR33 0006 1005 1978 6457 8413 26"

    await sent(stand_in, broken(text))

    (body,) = stand_in.bodies
    for secret in (CANARY, "ayse.isik", "8413 26", SECRET):
        assert secret not in body.decode()
    (event,) = stand_in.events
    frames = [
        frame for error in event["exception"]["values"] for frame in error["stacktrace"]["frames"]
    ]
    assert not {"vars", "context_line", "pre_context", "post_context"} & {
        name for frame in frames for name in frame
    }
    assert not {"breadcrumbs", "extra", "user", "modules", "contexts", "request"} & event.keys()


async def test_a_deep_stack_stays_whole_at_its_ends(stand_in: Envelopes) -> None:
    def fall(depth: int) -> None:
        if depth:
            fall(depth - 1)
        raise RecursionError("too deep")

    with pytest.raises(RecursionError) as caught:
        fall(200)
    await sent(stand_in, caught.value)

    (event,) = stand_in.events
    frames = event["exception"]["values"][0]["stacktrace"]["frames"]
    assert frames[0]["function"] == "test_a_deep_stack_stays_whole_at_its_ends"
    assert frames[-1]["function"] == "fall"


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_a_sentry_that_refuses_is_nobodys_trouble(stand_in: Envelopes, status: int) -> None:
    stand_in.status = status

    await sent(stand_in, broken("x"))

    assert len(stand_in.bodies) == 1


async def test_a_sentry_that_does_not_answer_holds_up_the_end_for_seconds(
    stand_in: Envelopes,
) -> None:
    stand_in.delay = 20
    sentry = opened(stand_in.dsn)
    sentry.report(broken("x"))

    began = monotonic()
    await asyncio.to_thread(sentry.close)

    assert 4 < monotonic() - began < 10


async def test_a_sentry_that_is_away_is_nobodys_trouble() -> None:
    sentry = opened("http://key@127.0.0.1:1/42")
    sentry.report(broken("x"))

    await asyncio.to_thread(sentry.close)


def test_without_a_dsn_nothing_is_set_up() -> None:
    sentry = opened(None)
    sentry.report(broken("x"))
    sentry.close()

    assert not sentry_sdk.get_client().is_active()
