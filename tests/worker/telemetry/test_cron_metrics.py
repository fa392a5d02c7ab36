from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from worker.group.exposition import merged
from worker.telemetry.cron_metrics import CronFigures
from worker.telemetry.metrics import Metrics

Parse = Callable[[str], Iterable[Metric]]
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAILY = CronFigures(
    cron="email.find_due_reminders",
    enabled=1,
    succeeded=7,
    failed=1,
    missed=2,
    last_success_at=NOON - timedelta(days=1),
    last_run_at=NOON,
    next_run_at=NOON + timedelta(days=1),
    interval=timedelta(days=1),
)
REPORTS = CronFigures(
    cron="_report",
    enabled=40,
    succeeded=0,
    failed=0,
    missed=0,
    last_success_at=None,
    last_run_at=None,
    next_run_at=None,
    interval=None,
)


def samples(text: bytes, parse: Parse) -> dict[tuple[str, ...], float]:
    """By name and labels, but for the name of the schedule where there is one only."""
    return {
        (sample.name.removeprefix("worker_cron_"), *sample.labels.values()): sample.value
        for family in parse(text.decode())
        for sample in family.samples
        if sample.name.startswith("worker_cron_")
    }


@pytest.mark.parametrize(
    ("accept", "parse"), [(None, plain), ("application/openmetrics-text", open_metrics)]
)
def test_every_schedule_is_told_by_its_job_and_those_of_people_together(
    accept: str | None, parse: Parse
) -> None:
    metrics = Metrics((), version="1")
    metrics.crons.set([DAILY, REPORTS])

    found = samples(metrics.render(accept)[0], parse)

    name = DAILY.cron
    assert found == {
        ("last_success_timestamp_seconds", name): (NOON - timedelta(days=1)).timestamp(),
        ("last_run_timestamp_seconds", name): NOON.timestamp(),
        ("next_run_timestamp_seconds", name): (NOON + timedelta(days=1)).timestamp(),
        ("interval_seconds", name): 86_400,
        ("enabled", name): 1,
        ("enabled", "_report"): 40,
        ("runs_total", name, "success"): 7,
        ("runs_total", name, "failed"): 1,
        ("runs_total", "_report", "success"): 0,
        ("runs_total", "_report", "failed"): 0,
        ("missed_total", name): 2,
        ("missed_total", "_report"): 0,
    }


def test_they_are_told_anew_each_time() -> None:
    metrics = Metrics((), version="1")
    assert samples(metrics.render(None)[0], plain) == {}
    metrics.crons.set([DAILY])

    metrics.crons.set([REPORTS])

    assert {labels[1] for labels in samples(metrics.render(None)[0], plain)} == {"_report"}


def test_each_process_of_a_group_tells_the_same_so_that_none_is_to_be_added_up() -> None:
    bodies = {}
    for number in (0, 1):
        metrics = Metrics((), version="1")
        metrics.crons.set([DAILY])
        bodies[number] = metrics.render(None)[0]

    text = merged(bodies)

    (family,) = [one for one in plain(text.decode()) if one.name == "worker_cron_missed"]
    assert [(one.labels["process"], one.value) for one in family.samples] == [("0", 2), ("1", 2)]
    assert "aggregate with max" in family.documentation
