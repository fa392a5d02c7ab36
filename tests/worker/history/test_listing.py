"""Finding runs: every filter, page by page (console-and-observability.md, section 1.1)."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.worker.history.conftest import Remember
from tests.worker.ledger.records import START, TENANT, attempt
from worker.ending import State
from worker.history import Cursor, Filter, PastRun, TooBroadError, list_runs, queries
from worker.history.where import Search
from worker.ledger import write_attempts
from worker.records import AttemptRecord

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
OTHER = UUID(int=7)


async def pages(db: Db, which: Filter, limit: int) -> list[PastRun]:
    """All runs of a filter, page by page."""
    found: list[PastRun] = []
    after: Cursor | None = None
    while True:
        page = await list_runs(db, which, after=after, limit=limit)
        assert len(page) <= limit
        found += page
        if len(page) < limit:
            return found
        after = Cursor.parse(str(page[-1].cursor))


async def test_a_run_is_listed_with_all_that_is_known_of_it(db: Db, remember: Remember) -> None:
    record = await remember(
        payload={"invoice_id": 7},
        label="daily",
        replay_of="b",
        reason="paid",
        state=State.CANCELLED,
    )

    (run,) = await list_runs(db)

    assert run == PastRun(
        run_id=record.run_id,
        job=record.job,
        queue="default",
        tenant_id=TENANT,
        state=State.CANCELLED,
        label="daily",
        correlation_id="request-1",
        replay_of="b",
        attempt=1,
        enqueued_at=START,
        started_at=START,
        finished_at=START + timedelta(seconds=1),
        reason="paid",
        payload={"invoice_id": 7},
    )


@pytest.mark.parametrize(
    ("which", "changes"),
    [
        ({"states": (State.DEAD, State.RETRYING)}, {"state": State.DEAD}),
        ({"queue": "email"}, {"queue": "email"}),
        ({"job": "email.send"}, {"job": "email.send"}),
        ({"tenant_id": OTHER}, {"tenant_id": OTHER}),
        ({"correlation_id": "c" * 300}, {"correlation_id": "c" * 300}),
        ({"label": "nightly"}, {"label": "nightly"}),
        ({"text": "iğdır%_ AND"}, {"payload": {"city": "in Iğdır%_ and elsewhere"}}),
        ({"text": 'say "hi"'}, {"payload": {"note": 'say "hi"\nthere'}}),
        ({"text": '"step":3'}, {"payload": {"step": 3}}),
        ({"text": "\\u0000"}, {"payload": {"step": "\x00"}}),
        ({"since": START + timedelta(hours=1)}, {"ended_at": START + timedelta(hours=1)}),
        ({"until": START - timedelta(hours=1)}, {"ended_at": START - timedelta(hours=2)}),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_filter_finds_what_it_says(
    db: Db, remember: Remember, which: dict[str, Any], changes: dict[str, Any]
) -> None:
    await remember(payload={"step": 4, "city": "Igdir", "note": "say hi"}, correlation_id="c" * 299)
    wanted = await remember(**changes)

    assert [run.run_id for run in await list_runs(db, Filter(**which))] == [wanted.run_id]


async def test_runs_under_the_aliases_of_a_job_are_its_own(db: Db, remember: Remember) -> None:
    names = {"documents.generate_report", "generate-report"}
    for name in names:
        await remember(job=name)
    await remember(job="documents.other")

    found = await list_runs(db, Filter(job="generate-report"))

    assert {run.job for run in found} == names


async def test_a_tenants_filter_shows_no_other_tenants_runs(db: Db, remember: Remember) -> None:
    """With whatever else it names."""
    payload = {"city": "Ankara"}
    for tenant_id in (TENANT, OTHER, None):
        await remember(tenant_id=tenant_id, payload=payload, label="x", state=State.DEAD)
    others: dict[str, Any] = {
        "states": (State.DEAD,),
        "queue": "default",
        "job": "testing.add_line",
        "correlation_id": "request-1",
        "label": "x",
        "text": "ankara",
        "since": START - timedelta(days=1),
        "until": START + timedelta(days=1),
    }

    for name, value in others.items():
        found = await list_runs(db, Filter(**{name: value}, tenant_id=OTHER))
        assert [run.tenant_id for run in found] == [OTHER], name


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"text": "ab"}, "text has 3 to 200 characters"),
        ({"text": "a" * 201}, "text has 3 to 200 characters"),
        ({"states": ("done",)}, "states are .*, not done"),
        ({"since": START.replace(tzinfo=None)}, "since says no time zone"),
        ({"label": "a\x00"}, "label has a NUL"),
        ({"queue": "q" * 2000}, "queue has a NUL in it, or is too long"),
    ],
    ids=str,
)
def test_a_wrong_filter_says_what_is_wrong(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Filter(**wrong)


@pytest.mark.parametrize(
    "text", ["", "x", "1", "1-", "-1-x", "9" * 30 + "-x", "1-\x00", "1-" + "x" * 600]
)
def test_what_is_no_place_in_a_list_is_told_so(text: str) -> None:
    with pytest.raises(ValueError, match="is no place in a list of runs"):
        Cursor.parse(text)


@given(st.datetimes(min_value=START.replace(tzinfo=None)), st.text(min_size=1, max_size=500))
def test_a_place_is_the_same_after_a_trip_as_text(at: Any, run_id: str) -> None:
    cursor = Cursor(at.replace(tzinfo=START.tzinfo), run_id.replace("\x00", "0"))

    assert Cursor.parse(str(cursor)) == cursor


async def test_a_search_that_takes_too_long_says_what_to_do(
    db: Db, remember: Remember, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a table that is locked: whoever waits for a page waits 2 s, not for ever."""
    monkeypatch.setattr(queries, "_LONGEST_MS", 200)
    await remember()

    async with db.acquire() as connection, connection.transaction():
        await connection.execute("lock table job_runs in access exclusive mode")
        with pytest.raises(TooBroadError, match="narrow the filter"):
            await list_runs(db)

    assert len(await list_runs(db)) == 1


# What a text search decides on the way makes no difference to what it finds


@pytest.mark.parametrize("every", [1, 40, 1000], ids=lambda n: f"every {n}th run")
@pytest.mark.parametrize("is_rare", [False, True], ids=["by its order", "by its index"])
async def test_a_text_is_found_however_many_runs_have_it(
    db: Db, monkeypatch: pytest.MonkeyPatch, every: int, *, is_rare: bool
) -> None:
    monkeypatch.setattr(queries, "_NEWEST", 20)

    async def told(*_: object) -> bool:
        return is_rare

    monkeypatch.setattr(queries, "_is_rare", told)
    records = [
        attempt(f"run-{n:04}", minute=n, payload='{"note":"needle"}' if n % every == 0 else "{}")
        for n in range(1000)
    ]
    await write_attempts(db, [(one.run_id, one.to_bytes()) for one in records])

    found = await pages(db, Filter(text="NEEDLE"), limit=100)

    assert [run.run_id for run in found] == [
        f"run-{n:04}" for n in range(999, -1, -1) if n % every == 0
    ]


@pytest.mark.parametrize(("every", "is_rare"), [(1, False), (5, False), (500, True), (9999, True)])
async def test_a_sample_tells_rare_texts_from_others(db: Db, every: int, *, is_rare: bool) -> None:
    records = [
        attempt(f"run-{n:04}", payload='{"note":"needle"}' if n % every == 1 % every else "{}")
        for n in range(3000)
    ]
    await write_attempts(db, [(one.run_id, one.to_bytes()) for one in records])
    search = Search(Filter(text="needle", label="x"), None)

    async with db.acquire() as connection, connection.transaction():
        assert await queries._is_rare(connection, search, 50) is is_rare


# Pages


@st.composite
def some_runs(draw: st.DrawFn) -> list[AttemptRecord]:
    """Many of them at equal instants."""
    minutes = st.integers(0, 3)
    return [
        attempt(
            uuid4().hex,
            minute=draw(minutes),
            state=draw(st.sampled_from(list(State))),
            queue=draw(st.sampled_from(["default", "email"])),
            job=draw(st.sampled_from(["testing.add_line", "testing.fail", "generate-report"])),
            tenant_id=draw(st.sampled_from([TENANT, OTHER, None])),
            label=draw(st.sampled_from(["a", "b", None])),
            payload=draw(st.sampled_from(['{"x":"needle"}', '{"x":"hay"}', None])),
        )
        for _ in range(draw(st.integers(0, 25)))
    ]


def made(given: dict[str, Any]) -> Filter:
    return Filter(**given)


filters = st.fixed_dictionaries(
    {},
    optional={
        "states": st.lists(st.sampled_from(list(State)), max_size=3).map(tuple),
        "queue": st.sampled_from(["default", "email"]),
        "job": st.sampled_from(["testing.add_line", "documents.generate_report"]),
        "tenant_id": st.sampled_from([TENANT, OTHER]),
        "label": st.sampled_from(["a", "b"]),
        "text": st.just("needle"),
        "since": st.integers(0, 3).map(lambda minute: START + timedelta(minutes=minute)),
        "until": st.integers(0, 3).map(lambda minute: START + timedelta(minutes=minute)),
    },
).map(made)


def is_meant(which: Filter, run: PastRun) -> bool:
    return (
        (not which.states or run.state in which.states)
        and which.queue in (None, run.queue)
        and (which.job is None or run.job in which.job_names)
        and which.tenant_id in (None, run.tenant_id)
        and which.label in (None, run.label)
        and (which.text is None or which.text in orjson.dumps(run.payload).decode())
        and (which.since is None or run.at >= which.since)
        and (which.until is None or run.at < which.until)
    )


@pytest.mark.parametrize("newest", [3, 3000])
def test_pages_are_the_whole_list_whatever_the_filter(
    database_url: str, monkeypatch: pytest.MonkeyPatch, newest: int
) -> None:
    """In order, none twice and none left out, also where many are of one instant."""
    monkeypatch.setattr(queries, "_NEWEST", newest)

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
    @given(some_runs(), st.lists(filters, min_size=1, max_size=5), st.integers(1, 7))
    def check(records: list[AttemptRecord], several: list[Filter], limit: int) -> None:
        async def command() -> None:
            async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as db:
                await db.execute("truncate job_runs")
                await write_attempts(db, [(one.run_id, one.to_bytes()) for one in records])
                whole = await list_runs(db, limit=1000)
                assert len(whole) == len(records)
                assert whole == sorted(whole, key=lambda run: run.cursor, reverse=True)
                for which in [Filter(), *several]:
                    wanted = [run for run in whole if is_meant(which, run)]
                    assert await pages(db, which, limit) == wanted

        asyncio.run(command())

    check()


async def test_a_page_stays_where_it_was_when_newer_runs_come(db: Db, remember: Remember) -> None:
    for minute in range(4):
        await remember(minute=minute)
    first = await list_runs(db, limit=2)
    await remember(minute=9)

    second = await list_runs(db, after=first[-1].cursor, limit=2)

    at = [run.started_at for run in first + second]
    assert at == [START + timedelta(minutes=minute) for minute in (3, 2, 1, 0)]


async def test_a_run_moves_up_when_it_is_tried_again(db: Db, remember: Remember) -> None:
    record = await remember(state=State.RETRYING, payload={"x": 1})
    await remember(minute=5)
    later = START + timedelta(hours=1)
    again = replace(record, state=State.SUCCEEDED, attempt=2, started_at=later, ended_at=later)
    await write_attempts(db, [("2-0", replace(again, payload=None).to_bytes())])

    newest, _ = await list_runs(db)

    assert (newest.run_id, newest.state) == (record.run_id, State.SUCCEEDED)
    # What an older worker does not tell is not forgotten.
    assert newest.payload == {"x": 1}
