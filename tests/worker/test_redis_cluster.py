"""redis+cluster://…: everything is in one hash slot, and callers see nothing of it (V-02)."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from arq.jobs import JobStatus
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.worker.conftest import StartWorker, until
from tests.worker.constellations import QUOTED, Node, server_at
from tests.worker.test_cli import in_process
from tests.worker.test_redis_pool import valkey
from tests.worker.testing_jobs import add_line, nap
from worker.engine.scripts import script
from worker.enqueuer import Pool
from worker.events import follow
from worker.outbox import enqueue_in
from worker.outbox.chore import OutboxChore
from worker.redis_cluster import key_tag
from worker.redis_pool import arq_settings, open_redis, open_redis_for_thread
from worker.settings import SettingsError, load_settings

FAST = {"timeout": 15, "poll_delay": 0.02}
TAG = b"{deskhand}:"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node"))
    try:
        asyncio.run(node.start())
        yield node
    finally:
        node.stop()


@pytest.fixture
async def pool(node: Node) -> AsyncIterator[Pool]:
    pool = open_redis(node.url, Pool)
    await pool.flushall()
    yield pool
    await pool.aclose()


async def names_at(node: Node) -> set[bytes]:
    """As they are there."""
    async with server_at(node.servers[0]) as server:
        return set(await server.keys())


# A worker, and what callers see


async def test_runs_end_as_anywhere_and_all_their_keys_have_the_tag(
    node: Node, pool: Pool, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker(redis_url=node.url)
    diary = tmp_path / "diary"

    run = await pool.enqueue_job(add_line.name, diary=diary, _job_id="one")
    assert run is not None
    assert (await run.result(**FAST))["lines"] == 1

    assert await run.status() == JobStatus.complete
    assert (info := await run.result_info()) is not None
    assert (info.function, info.success, info.queue_name) == (add_line.name, True, "arq:queue")
    assert [result.job_id for result in await pool.all_job_results()] == ["one"]
    assert await pool.enqueue_job(add_line.name, diary=diary, _job_id="one") is None
    names = await names_at(node)
    assert TAG + b"arq:result:one" in names
    assert {name for name in names if not name.startswith(TAG)} == set()


async def test_runs_come_to_it_from_the_outbox_too(
    node: Node,
    pool: Pool,
    start_worker: StartWorker,
    tmp_path: Path,
    db: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    diary = tmp_path / "diary"
    await start_worker(redis_url=node.url)

    for lines in (1, 2):  # before and after its data is lost
        async with db.acquire() as connection, connection.transaction():
            run_id = await enqueue_in(connection, add_line, {"diary": str(diary)})
        await until(lambda: pool.exists(f"arq:result:{run_id}"))  # noqa: B023 - called in this turn
        assert (await pool.handle(run_id, add_line).result(**FAST))["lines"] == lines

        async def is_empty() -> bool:
            return not await db.fetchval("select count(*) from outbox")

        await until(is_empty)
        await OutboxChore(pool, db)()
        names = await names_at(node)
        assert [name for name in names if not name.startswith(TAG)] == []
        await pool.flushall()


async def test_runs_that_wait_are_seen_and_aborted(
    node: Node, pool: Pool, start_worker: StartWorker, tmp_path: Path
) -> None:
    await start_worker(redis_url=node.url)
    diary = tmp_path / "diary"
    running = await pool.enqueue_job(nap.name, diary=diary, seconds=60)
    waiting = await pool.enqueue_job(nap.name, diary=diary, seconds=60, _defer_by=60)
    assert running is not None
    assert waiting is not None
    await until(lambda: has_status(running, JobStatus.in_progress))

    queued = await pool.queued_jobs()
    assert {job.job_id for job in queued} == {running.job_id, waiting.job_id}
    assert await waiting.status() == JobStatus.deferred
    for run in (running, waiting):
        assert await run.abort(**FAST)


async def has_status(run: Any, status: JobStatus) -> bool:
    return bool(await run.status() == status)


async def test_many_runs_are_enqueued_and_end(
    node: Node, pool: Pool, start_worker: StartWorker, tmp_path: Path
) -> None:
    payloads = [{"diary": tmp_path / str(number)} for number in range(700)]
    runs = await pool.enqueue_many(add_line.name, payloads)
    assert None not in runs
    await start_worker(redis_url=node.url)

    async def is_empty() -> bool:
        return not await pool.zcard("arq:queue")

    await until(is_empty)
    assert {path.read_text() for path in tmp_path.glob("[0-9]*")} == {"1 \n"}
    assert len(list(tmp_path.glob("[0-9]*"))) == 700


async def test_events_and_counts_name_queues_without_the_tag(
    node: Node, pool: Pool, start_worker: StartWorker, database_url: str, tmp_path: Path
) -> None:
    worker = await start_worker(redis_url=node.url)
    run = await pool.enqueue_job(add_line.name, diary=tmp_path / "diary")
    assert run is not None
    await run.result(**FAST)

    events = [event async for event in follow(pool, is_endless=False)]
    code, output = await in_process(
        "queues", "--json", REDIS_URL=node.url, DATABASE_URL=database_url
    )

    assert [(event.kind, event.queue) for event in events] == [
        ("added", "default"),
        ("active", "default"),
        ("completed", "default"),
    ]
    assert code == 0
    shown = json.loads(output)
    (default,) = [row for row in shown["queues"] if row["queue"] == "default"]
    assert (default["succeeded"], default["active"], default["waiting"]) == (1, 0, 0)
    assert shown["workers"] == 1
    assert worker.worker_id


# Which arguments are keys


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("GET", "a"), (b"{deskhand}:a",)),
        (("MGET", "a", b"b"), (b"{deskhand}:a", b"{deskhand}:b")),
        (("SET", "a", "a", "PX", 5), (b"{deskhand}:a", b"a", b"PX", b"5")),
        (("XGROUP CREATE", "s", "g", "0"), (b"CREATE", b"{deskhand}:s", b"g", b"0")),
        (("EVALSHA", "ab", 1, "k", "k"), (b"ab", b"1", b"{deskhand}:k", b"k")),
        (("XREAD", "COUNT", 1, "STREAMS", "s", "0"), None),
        (
            ("XREADGROUP", "GROUP", "STREAMS", "c", "STREAMS", "s", ">"),
            (b"GROUP", b"STREAMS", b"c", b"STREAMS", b"{deskhand}:s", b">"),
        ),
        (("PING", "a"), (b"a",)),
        (("get", "{deskhand}:a"), (b"{deskhand}:{deskhand}:a",)),
    ],
)
async def test_keys_get_the_tag_and_nothing_else_does(
    pool: Pool, command: tuple[Any, ...], expected: tuple[bytes, ...] | None
) -> None:
    await pool.ping()  # from then on it knows the commands
    tagged = pool.connection_pool.connection_kwargs["cluster"].tagged(command)

    words = tuple(word if isinstance(word, bytes) else str(word).encode() for word in tagged[1:])
    assert words == (expected or (b"COUNT", b"1", b"STREAMS", b"{deskhand}:s", b"0"))


async def test_a_command_whose_keys_are_not_known_is_not_sent(pool: Pool) -> None:
    with pytest.raises(RedisError, match="SORT cannot be sent to a Redis Cluster"):
        await pool.execute_command("SORT", "list")  # type: ignore[no-untyped-call]  # redis-py has no types here


async def test_streams_are_named_in_replies_as_they_were_asked_for(pool: Pool) -> None:
    await pool.xadd("stream", {"a": "1"})

    ((name, entries),) = await pool.xread({"stream": "0"})

    assert (name, entries[0][1]) == (b"stream", {b"a": b"1"})


def test_a_threads_client_shares_the_keys(node: Node) -> None:
    with open_redis_for_thread(node.url) as redis:
        assert key_tag(redis) == TAG.decode()
        redis.set("shared", "1")
        with redis.pipeline(transaction=False) as pipe:
            assert pipe.get("shared").time().execute()[0] == b"1"
        assert redis.register_script("return redis.call('GET', KEYS[1])")(keys=["shared"]) == b"1"


async def test_two_tags_share_nothing(node: Node, pool: Pool) -> None:
    await pool.set("mine", "1")
    other = open_redis(f"{node.url}/another", Pool)
    try:
        assert await other.get("mine") is None
    finally:
        await other.aclose()


def test_every_key_that_a_script_makes_has_the_tag() -> None:
    text = script("tick", "{a}:").text

    assert "'{a}:arq:job:'" in text
    assert "'arq:" not in text
    assert "'deskhand:" not in text


# Finding it


async def test_nodes_that_are_gone_are_passed_over(node: Node) -> None:
    (port,) = node.servers
    redis = open_redis(f"redis+cluster://:{QUOTED}@127.0.0.1:1,127.0.0.1:2,127.0.0.1:{port}", Redis)
    try:
        assert await redis.ping()
    finally:
        await redis.aclose()


async def test_nodes_that_hang_are_passed_over_and_asked_last_the_next_time(node: Node) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # it accepts, and says nothing
        hosts = f"127.0.0.1:{hanging.getsockname()[1]},127.0.0.1:{node.servers[0]}"
        url = f"redis+cluster://:{QUOTED}@{hosts}"
        redis = open_redis(url, Redis)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(redis.ping(), 0.2)
        async with asyncio.timeout(1):
            assert await redis.ping()
        await redis.aclose()
        async with asyncio.timeout(4):
            another = open_redis(url, Redis)
            assert await another.ping()
            await another.aclose()
        with open_redis_for_thread(url, timeout=0.5) as thread:
            assert await asyncio.to_thread(thread.ping)


@pytest.mark.parametrize("scheme", ["redis+cluster", "rediss+cluster"])
async def test_no_node_at_all_is_an_error_that_says_so(scheme: str) -> None:
    redis = open_redis(f"{scheme}://127.0.0.1:1,127.0.0.1:2", Redis)
    with pytest.raises(RedisConnectionError, match="no node of the Redis Cluster answers"):
        await redis.ping()
    with (
        open_redis_for_thread(f"{scheme}://127.0.0.1:1") as thread,
        pytest.raises(RedisConnectionError, match="no node of the Redis Cluster answers"),
    ):
        thread.ping()


async def test_a_wrong_password_is_said_at_once(node: Node) -> None:
    url = node.url.replace(QUOTED, "wrong")
    redis = open_redis(url, Redis)
    with pytest.raises(AuthenticationError):
        await redis.ping()
    with open_redis_for_thread(url) as thread, pytest.raises(AuthenticationError):
        thread.ping()


async def refuses(redis: Redis, sentence: str) -> bool:
    with pytest.raises(RedisConnectionError) as error:
        await redis.ping()
    return sentence in str(error.value)


async def test_a_server_that_is_no_cluster_is_an_error() -> None:
    with valkey("--save", "") as port:
        redis = open_redis(f"redis+cluster://127.0.0.1:{port}", Redis)
        await until(lambda: refuses(redis, "no node of the Redis Cluster answers"))


async def test_a_slot_that_nobody_serves_is_an_error(tmp_path: Path) -> None:
    node = Node(tmp_path)
    try:
        node.serve_nothing()
        redis = open_redis(node.url, Redis)
        await until(lambda: refuses(redis, "no node of the Redis Cluster"))
    finally:
        node.stop()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis+cluster://h/a{b}", "plain word"),
        ("redis+cluster://h/" + "x" * 65, "plain word"),
        ("redis+cluster://:p@ss/secret@h:1", "plain word"),
        ("redis+cluster://", "its hosts"),
        ("redis+cluster://a,,b", "its hosts"),
        ("redis+cluster://a:x,b:1", "its hosts"),
        ("redis+cluster://a:99999,b:1", "its hosts"),
        ("redis+cluster://[::1", "URL"),
        ("redis+cluster://:top,secret#word@h1:7000", "its hosts"),
        ("redis+cluster://user:secret#x,y@h1:7000", "its hosts|URL"),
        ("redis+sentinel://a:x,b:1/main", "its hosts"),
        ("redis+sentinel://h/main/secret", "a number"),
    ],
)
def test_a_wrong_url_is_said_by_the_settings_and_by_whoever_connects(
    url: str, sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence) as in_settings:
        load_settings(redis_url=url)
    with pytest.raises(ValueError, match=sentence) as connecting:
        open_redis(url, Redis)

    for error in (in_settings, connecting):
        assert "secret" not in str(error.value)


def test_a_cluster_has_one_database() -> None:
    with pytest.raises(ValueError, match="one database"):
        open_redis("redis+cluster://h?db=1", Redis)


async def test_hosts_may_be_written_in_many_ways(node: Node) -> None:
    (port,) = node.servers
    for hosts in (f"[::1]:1,127.0.0.1:{port}", f"[::1],localhost:{port}"):
        redis = open_redis(f"redis+cluster://:{QUOTED}@{hosts}?max_connections=3&timeout=4", Redis)
        assert await redis.ping()
        assert redis.connection_pool.max_connections == 3
        await redis.aclose()


async def test_a_user_who_may_not_ask_where_the_keys_are_is_told_so(node: Node) -> None:
    async with server_at(node.servers[0]) as server:
        await server.acl_setuser("poor", enabled=True, nopass=True, commands=["+get"])
    redis = open_redis(f"redis+cluster://poor:any@127.0.0.1:{node.servers[0]}", Redis)

    with pytest.raises(NoPermissionError):
        await redis.ping()


async def test_a_scan_finds_our_keys_and_no_others(node: Node, pool: Pool) -> None:
    await pool.set("ours:1", "1")
    async with server_at(node.servers[0]) as server:
        await server.set("ours:2", "1")

    assert {key async for key in pool.scan_iter()} == {b"ours:1"}
    assert {key async for key in pool.scan_iter("ours:*")} == {b"ours:1"}
    assert {key async for key in pool.scan_iter("arq:*")} == set()


def test_arqs_own_command_is_given_the_first_node() -> None:
    settings = arq_settings("rediss+cluster://ann:secret@a:7000,b:7001/desk")

    assert (settings.host, settings.port, settings.ssl) == ("a", 7000, True)
    assert (settings.username, settings.password) == ("ann", "secret")
