"""Events over HTTP, as they happen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from tests.worker.conftest import StartWorker, until
from tests.worker.ledger.records import put_together
from tests.worker.sidecar.api.conftest import (
    ADMIN_TOKEN,
    CREDENTIALS,
    Serve,
    bearer,
    code_of,
    token,
)
from worker.clock import utc_now
from worker.enqueuer import Pool
from worker.events import Event, Kind
from worker.sidecar.api import events as events_module
from worker.sidecar.api import tail as tail_module
from worker.sidecar.api.errors import ApiError
from worker.sidecar.api.tail import Follower, Tail, place_of


class Stream:
    """Reads server-sent events."""

    def __init__(self, reply: httpx.Response) -> None:
        self._lines = reply.aiter_lines()

    async def block(self) -> dict[str, str]:
        """The fields of the next event, or comment; empty at the end."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(15):
            async for line in self._lines:
                if not line:
                    return fields
                name, _, value = line.partition(": ")
                fields[name] = value
        return fields

    async def event(self) -> dict[str, Any]:
        block = await self.block()
        assert block, "the stream has ended"
        said: dict[str, Any] = orjson.loads(block["data"])
        assert (said["event_id"], said["kind"]) == (block["id"], block["event"])
        return said


@asynccontextmanager
async def following(
    http: httpx.AsyncClient, headers: dict[str, str] | None = None, **asked: Any
) -> AsyncIterator[Stream]:
    async with http.stream("GET", "/events", params=asked, headers=headers) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["x-accel-buffering"] == "no"
        stream = Stream(reply)
        assert list(await stream.block()) == ["retry"]
        yield stream


async def add(pool: Pool, run_id: str, queue: str = "arq:queue", job: str = "a.job") -> None:
    await put_together(pool, {f"+{queue}\n{job}".encode(): run_id.encode()})


async def test_a_run_is_followed_from_its_beginning_to_its_end(
    http: httpx.AsyncClient, start_worker: StartWorker
) -> None:
    await start_worker()
    async with following(http, job="testing_api.greet") as stream:
        asked = {"payload": {"name": "s3cret"}}
        run_id = (await http.post("/jobs/greet/runs", json=asked)).json()["run_id"]
        told = [await stream.event() for _ in range(3)]

    assert {one["run_id"] for one in told} == {run_id}
    assert [one["kind"] for one in told] == ["added", "active", "completed"]
    assert "s3cret" not in str(told)
    assert told[2]["duration_seconds"] >= 0


async def test_one_follows_what_one_asks_for(http: httpx.AsyncClient, pool: Pool) -> None:
    async with following(http, queue="email") as emails, following(http, job="b.job") as others:
        await add(pool, "1")
        await add(pool, "2", "arq:queue:email")
        await add(pool, "3", "arq:queue:sync", "b.job")

        assert (await emails.event())["run_id"] == "2"
        assert (await others.event())["run_id"] == "3"


async def test_whoever_comes_back_misses_nothing_and_sees_nothing_twice(
    http: httpx.AsyncClient, pool: Pool
) -> None:
    """Also where many events are one entry of the stream."""
    await put_together(pool, {b"+arq:queue\na.job": b"0\n1\n2"})
    async with following(http, since=60) as stream:
        first = [await stream.event() for _ in range(2)]
    await add(pool, "3")

    async with following(http, headers={"Last-Event-ID": first[-1]["event_id"]}) as stream:
        await add(pool, "4")
        then = [await stream.event() for _ in range(3)]

    assert [one["run_id"] for one in first + then] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("last", ["x", "1", "1-", "1-2:x", "-1-0", "9" * 30 + "-0"])
async def test_an_id_that_is_none_is_refused(http: httpx.AsyncClient, last: str) -> None:
    reply = await http.get("/events", headers={"Last-Event-ID": last})

    assert (reply.status_code, code_of(reply)) == (422, "invalid")
    assert list(reply.json()["error"]["fields"]) == ["Last-Event-ID"]


async def test_a_quiet_stream_is_kept_alive(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "KEEP_ALIVE", 0.05)

    async with following(http) as stream:
        assert list(await stream.block()) == [""]


async def test_only_so_many_follow_at_once(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "MOST_FOLLOWERS", 1)

    async with following(http):
        refused = await http.get("/events")
        assert (refused.status_code, code_of(refused)) == (503, "too_many")

    async def is_free() -> bool:
        async with http.stream("GET", "/events") as reply:
            return reply.status_code == 200

    assert await until(is_free, within=5)  # long before anything is to be sent


async def test_nobody_takes_all_places(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "MOST_OF_ONE", 2)
    http = await serve(**CREDENTIALS)
    viewer = bearer(token("viewer", sub="v"))

    async with following(http, viewer), following(http, viewer):
        refused = await http.get("/events", headers=viewer)
        assert (refused.status_code, code_of(refused)) == (429, "too_many")
        async with following(http, bearer(ADMIN_TOKEN)):
            pass


async def test_a_stream_ends_with_its_token(serve: Serve) -> None:
    """Ten seconds later, as clocks may differ."""
    http = await serve(**CREDENTIALS)

    async with following(http, bearer(token("viewer", lasts=-8.5))) as stream:
        assert await stream.block() == {}


async def test_only_get_follows(http: httpx.AsyncClient) -> None:
    reply = await http.head("/events")

    assert (reply.status_code, reply.headers["Allow"]) == (405, "GET")


def event(number: int) -> Event:
    return Event(
        event_id=f"{number}-0:0", at=utc_now(), kind=Kind.ADDED, queue="default", run_id=str(number)
    )


async def test_a_follower_that_is_too_slow_is_told_so() -> None:
    follower = Follower(lambda _: True)

    for number in range(2000):
        follower.put(event(number))

    assert await follower.get() is None
    assert follower.is_behind


async def test_who_is_behind_gets_an_overflow_and_the_end(
    http: httpx.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "_BEHIND", 3)
    async with following(http) as stream:
        # One entry of many events: they are there before the follower has its turn.
        await put_together(pool, {b"+arq:queue\na.job": b"\n".join(b"%d" % n for n in range(9))})
        block = await stream.block()
        while block and "id" in block:
            block = await stream.block()

        assert block["event"] == "overflow"
        assert await stream.block() == {}


async def test_all_are_sent_away_at_once_when_the_process_ends(pool: Pool) -> None:
    tail = Tail(pool)

    async with asyncio.timeout(5), tail.following(lambda _: True) as follower:
        closing = asyncio.create_task(tail.close())
        assert await follower.get() is None
        await closing
    with pytest.raises(ApiError):
        await over_full(tail)


async def over_full(tail: Tail) -> None:
    tail._followers = {Follower(lambda _: True) for _ in range(tail_module.MOST_FOLLOWERS)}
    async with tail.following(lambda _: True):
        raise AssertionError


def test_places_have_an_order() -> None:
    ids = ["1-0", "1-0:0", "1-0:9", "1-0:10", "1-1:0", "2-0:0", "10-0:0"]

    assert sorted(ids, key=place_of) == ids


async def test_a_head_of_the_stream_is_none(http: httpx.AsyncClient) -> None:
    reply = await http.head("/events")

    assert (reply.status_code, reply.headers["Allow"]) == (405, "GET")
