from typing import cast

import pytest
from arq.constants import default_queue_name

from jobs.kit import QUEUES, Queue, queue_key

# design.md, section 6; the attempts are those of acceptance row Q-08.
CONCURRENCY = {
    "default": 10,
    "email": 10,
    "email-processing": 10,
    "document": 5,
    "daily-brief": 2,
    "sync": 3,
    "reminders": 10,
    "nurture": 5,
    "dunning": 5,
    "snapshots": 2,
    "risk": 2,
    "maintenance": 1,
}
THREE_ATTEMPTS = {"document", "daily-brief", "reminders", "nurture", "dunning", "snapshots"}


def test_the_queues_run_as_many_at_once_as_the_design_says() -> None:
    assert {name: queue.concurrency for name, queue in QUEUES.items()} == CONCURRENCY


def test_every_queue_is_listed_under_its_own_name() -> None:
    assert {name: queue.name for name, queue in QUEUES.items()} == {name: name for name in QUEUES}


@pytest.mark.parametrize("name", QUEUES)
def test_a_run_gets_three_attempts_or_five_by_its_queue(name: str) -> None:
    expected = 3 if name in THREE_ATTEMPTS else 5

    assert QUEUES[name].retry.attempts == expected


@pytest.mark.parametrize("name", [name for name in QUEUES if name != "default"])
def test_a_queues_redis_key_is_its_name_behind_arqs_prefix(name: str) -> None:
    assert QUEUES[name].key == queue_key(name) == f"arq:queue:{name}"


def test_the_default_queue_is_arqs_own() -> None:
    assert QUEUES["default"].key == default_queue_name


def test_no_queue_shares_a_key_with_another() -> None:
    assert len({queue.key for queue in QUEUES.values()}) == len(QUEUES)


def test_nobody_adds_a_queue_at_run_time() -> None:
    with pytest.raises(TypeError):
        cast("dict[str, Queue]", QUEUES)["mine"] = Queue("mine", 1)
