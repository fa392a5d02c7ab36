"""Is Redis as the model says? Read as a whole after every step."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from jobs.kit import Queue
from tests.worker.engine.machine.model import Model, ModelRun
from worker.engine.store import COUNTS, DEAD, EVENTS

# What the engine owns for ever; queues and payloads of queued runs come on top.
OWNED = {EVENTS, DEAD, COUNTS, "deskhand:rejected", "deskhand:epoch", "deskhand:unknown"}
OWNED |= {"arq:abort", "deskhand:crashed"}  # a sweep tends them
_CLAIMS = {">", "!"}
PER_RUN = ("arq:job:", "arq:in-progress:", "arq:retry:", "arq:result:")


@dataclass(frozen=True)
class Seen:
    """All of Redis that the engine speaks of. Keys as text; lives in ms, -1 for no end."""

    now: int
    lives: dict[str, int]
    values: dict[str, bytes]
    queued: dict[str, float]
    crashed: dict[str, int]
    aborted: set[str]
    unknown: set[str]
    events: list[tuple[str, str]]
    letters: list[str]
    counts: dict[str, int]


def look(redis: "Redis", queues: Sequence[Queue]) -> Seen:
    keys = [key.decode() for key in _list(redis.keys())]
    values = [key for key in keys if key.startswith(PER_RUN)]
    with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.mget(["none", *values])
        for queue in queues:
            pipe.zrange(queue.key, 0, -1, withscores=True)
        pipe.zrange("deskhand:crashed", 0, -1, withscores=True)
        for key in ("arq:abort", "deskhand:unknown"):
            pipe.zrange(key, 0, -1)
        for key in (EVENTS, DEAD):
            pipe.xrange(key)
        pipe.hgetall(COUNTS)
        for key in keys:
            pipe.pttl(key)
        (seconds, micros), (_, *found), *rest = pipe.execute()
    many = len(queues)
    crashed, aborted, unknown, events, dead, counts, *lives = rest[many:]
    return Seen(
        now=seconds * 1000 + micros // 1000,
        lives=dict(zip(keys, lives, strict=True)),
        values=dict(zip(values, found, strict=True)),
        queued={name.decode(): score for entries in rest[:many] for name, score in entries},
        crashed={name.decode(): int(score) % 10 for name, score in crashed},
        aborted={name.decode() for name in aborted},
        unknown={name.decode() for name in unknown},
        events=[
            (name.decode(), value.decode())
            for _, fields in events
            for name, value in fields.items()
        ],
        letters=[fields[b"d"].decode() for _, fields in dead],
        counts={name.decode(): int(count) for name, count in counts.items()},
    )


def check(redis: "Redis", model: Model, queues: Sequence[Queue]) -> None:
    seen = look(redis, queues)
    runs = model.runs.values()
    one_owner_each(seen, model)
    nothing_lost(seen, runs)
    assert seen.crashed == {run.run_id: run.crashes for run in runs if run.crashes}
    assert seen.aborted == {run.run_id for run in runs if run.is_aborted}
    assert seen.unknown == {run.run_id for run in runs if run.is_unknown}
    # In their order, so every end that was taken is there once, and no other.
    assert [event for event in seen.events if event[0][0] not in _CLAIMS] == [
        event for event in model.events if event[0][0] not in _CLAIMS
    ]
    assert claims_told(seen.events) == claims_told(model.events)
    assert seen.letters == model.letters
    assert seen.counts == model.counts
    only_what_waits_has_no_end(seen, queues)


def claims_told(events: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is told of claims, a run each: how many share a field is for the script to choose."""
    told = []
    for name, value in events:
        if name[0] == ">":
            told += [(name.rpartition("\n")[0], run_id) for run_id in value.split("\n")]
        elif name[0] == "!":
            told.append((name, value))
    return sorted(told)


def one_owner_each(seen: Seen, model: Model) -> None:
    expected: dict[str, bytes] = {}
    for run_id, run in model.runs.items():
        if run.payload is not None:
            expected[f"arq:job:{run_id}"] = run.payload
        if run.lock is not None:
            expected[f"arq:in-progress:{run_id}"] = run.lock.encode()
        if run.spent is not None:
            expected[f"arq:retry:{run_id}"] = b"%d" % run.spent
    values = {key: v for key, v in seen.values.items() if not key.startswith("arq:result:")}
    assert values == expected
    results = {key.removeprefix("arq:result:") for key in seen.values.keys() - values.keys()}
    assert results == {run_id for run_id, run in model.runs.items() if run.has_result}


def nothing_lost(seen: Seen, runs: Collection[ModelRun]) -> None:
    """Each accepted run waits, runs, or has ended once; only what no worker of ours met expires."""
    assert set(seen.queued) <= {run.run_id for run in runs}
    for run in runs:
        assert run.opened - run.closed == run.is_live, f"{run.run_id} was lost, or ended twice"
        score = seen.queued.get(run.run_id)
        assert (score is not None) == run.is_queued
        if run.payload is not None:
            assert (seen.lives[f"arq:job:{run.run_id}"] == -1) != run.is_mortal
        if score is not None:
            assert (score <= seen.now) == run.is_due


def only_what_waits_has_no_end(seen: Seen, queues: Sequence[Queue]) -> None:
    owned = OWNED | {queue.key for queue in queues}
    owned |= {f"arq:job:{run_id}" for run_id in seen.queued}
    assert {key for key, life in seen.lives.items() if life == -1} <= owned


def _list(reply: Any) -> list[bytes]:
    """redis-py's types say that a reply may still have to be awaited."""
    return list(reply)
