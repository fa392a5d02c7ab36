from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse

from jobs.kit.sending import Meter
from worker.telemetry.metrics import DURATIONS, Metrics

JOBS = [("email", "email.send_welcome"), ("sync", "sam_gov.import_opportunities")]
WELCOME = {"queue": "email", "function": "email.send_welcome"}


@dataclass(frozen=True)
class Sizes:
    ready: int
    deferred: int
    blocked: int
    running: int


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(JOBS, version="1.2.3")


def value(metrics: Metrics, name: str, labels: Mapping[str, str]) -> float | None:
    """What a scraper reads; None when there is no such series."""
    body, _ = metrics.render(None)
    for family in parse(body.decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def names(metrics: Metrics) -> set[str]:
    body, _ = metrics.render(None)
    families = parse(body.decode())
    return {sample.name for family in families for sample in family.samples}


def test_known_series_start_at_zero(metrics: Metrics) -> None:
    for status in "success failed retried cancelled expired snoozed interrupted".split():  # noqa: SIM905 - shorter
        assert value(metrics, "worker_jobs_processed_total", {**WELCOME, "status": status}) == 0
    assert value(metrics, "worker_active_jobs", {"queue": "maintenance"}) == 0
    assert value(metrics, "worker_lease_lost_total", {"queue": "sync"}) == 0


def test_an_attempt_is_counted_by_queue_job_and_ending(metrics: Metrics) -> None:
    metrics.attempts_ended(**WELCOME, status="success", seconds=[0.2])
    metrics.attempts_ended(**WELCOME, status="retried", seconds=[700])
    metrics.attempts_ended(**WELCOME, status="snoozed", seconds=[0.1])

    success = {**WELCOME, "outcome": "success"}
    error = {**WELCOME, "outcome": "error"}
    duration = "worker_job_duration_seconds"
    assert value(metrics, "worker_jobs_processed_total", {**WELCOME, "status": "success"}) == 1
    assert value(metrics, "worker_jobs_processed_total", {**WELCOME, "status": "snoozed"}) == 1
    assert value(metrics, f"{duration}_bucket", {**success, "le": "0.1"}) == 0
    assert value(metrics, f"{duration}_bucket", {**success, "le": "0.25"}) == 1
    assert value(metrics, f"{duration}_count", error) == 1
    assert value(metrics, f"{duration}_sum", error) == 700
    assert value(metrics, f"{duration}_count", success) == 1  # a snoozed one tells nothing
    assert DURATIONS[0] == 0.01
    assert 600 in DURATIONS


def test_a_dead_run_is_counted_with_its_reason(metrics: Metrics) -> None:
    metrics.attempts_ended(**WELCOME, status="failed", seconds=[1])
    metrics.dead_lettered(**WELCOME, reason="attempts_spent")

    labels = {**WELCOME, "reason": "attempts_spent"}
    assert value(metrics, "worker_jobs_dead_lettered_total", labels) == 1


def test_unknown_names_share_one_series(metrics: Metrics) -> None:
    for number in range(100):
        metrics.attempts_ended(
            queue=f"q{number}", function=f"f{number}", status="failed", seconds=[1]
        )

    labels = {"queue": "_unknown", "function": "_unknown", "status": "failed"}
    assert value(metrics, "worker_jobs_processed_total", labels) == 100


def test_the_gauges_say_what_is_now(metrics: Metrics) -> None:
    metrics.active_jobs.labels("email").inc()
    metrics.set_queue_sizes({"email": Sizes(5, 4, 0, 3)})
    metrics.set_queue_sizes({"email": Sizes(2, 4, 1, 3), "default": Sizes(0, 0, 0, 0)})

    assert value(metrics, "worker_active_jobs", {"queue": "email"}) == 1
    sizes = {
        state: value(metrics, "worker_queue_size", {"queue": "email", "state": state})
        for state in ("ready", "deferred", "blocked", "running")
    }
    assert sizes == {"ready": 2, "deferred": 4, "blocked": 1, "running": 3}
    assert value(metrics, "worker_queue_size", {"queue": "default", "state": "ready"}) == 0
    assert value(metrics, "worker_queue_size", {"queue": "sync", "state": "ready"}) is None


def test_mails_and_syncs_are_counted_as_jobs_tell_them(metrics: Metrics) -> None:
    meter: Meter = metrics
    meter.email(provider="sendgrid", template="welcome", status="sent")
    meter.sync(integration="sam_gov", operation="import", status="success", added=3, unchanged=0)
    meter.sync(integration="sam_gov", operation="import", status="success", added=2, updated=-1)

    emails = {"provider": "sendgrid", "template": "welcome", "status": "sent"}
    syncs = {"integration": "sam_gov", "operation": "import", "status": "success"}
    added = {"integration": "sam_gov", "kind": "added"}
    assert value(metrics, "worker_emails_sent_total", emails) == 1
    assert value(metrics, "worker_sync_operations_total", syncs) == 2
    assert value(metrics, "worker_sync_records_total", added) == 5
    assert value(metrics, "worker_sync_records_total", {**added, "kind": "updated"}) == 0


def test_what_becomes_of_messages_is_counted_by_channel(metrics: Metrics) -> None:
    metrics.outcome(provider="sendgrid", outcome="bounced")
    metrics.outcome(provider="somebody@x.example", outcome="+905321234567")

    bounced = {"channel": "email", "provider": "sendgrid", "outcome": "bounced"}
    nobody = {"channel": "_other", "provider": "_other", "outcome": "_other"}
    assert value(metrics, "worker_message_outcomes_total", bounced) == 1
    assert value(metrics, "worker_message_outcomes_total", {**bounced, "outcome": "dropped"}) == 0
    assert value(metrics, "worker_message_outcomes_total", nobody) == 1


def test_no_label_can_grow_without_bound_or_hold_an_address(metrics: Metrics) -> None:
    metrics.email(provider="sendgrid", template="ada@example.com", status="sent")
    for number in range(200):
        metrics.email(provider="sendgrid", template=f"t{number}", status="sent")

    body = metrics.render(None)[0].decode()
    assert "ada@" not in body
    assert body.count("worker_emails_sent_total{") == 51
    others = {"provider": "sendgrid", "template": "_other", "status": "sent"}
    assert value(metrics, "worker_emails_sent_total", others) == 151


def test_the_text_format_is_the_default(metrics: Metrics) -> None:
    for accept in (None, "", "*/*", "text/plain;version=nonsense", "text/html"):
        body, content_type = metrics.render(accept)

        assert content_type == "text/plain; version=0.0.4; charset=utf-8"
        assert not body.endswith(b"# EOF\n")


def test_openmetrics_on_request_with_exemplars(metrics: Metrics) -> None:
    metrics.attempts_ended(**WELCOME, status="success", seconds=[1], trace_id="ab" * 16)

    body, content_type = metrics.render(
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    )

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    samples = [
        sample
        for family in parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]  # as above
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert [sample.exemplar.labels for sample in samples] == [{"trace_id": "ab" * 16}]


def test_every_promised_metric_is_there_and_nothing_else(metrics: Metrics) -> None:
    python = {"worker_info"}
    found = {name for name in names(metrics) if name.startswith("worker_")}

    assert found == python | {
        "worker_jobs_processed_total",
        "worker_active_jobs",
        "worker_lease_lost_total",
        "worker_metrics_collect_errors_total",
        "worker_message_outcomes_total",
        "worker_personalisations_total",
        "worker_notices_total",
        "worker_outbox_rows_total",
        "worker_webhook_deliveries_total",
    }
    assert not any(name.endswith("_created") for name in names(metrics))
    assert "process_resident_memory_bytes" in names(metrics)


def test_two_registries_do_not_meet() -> None:
    first, second = Metrics(JOBS), Metrics(JOBS)
    first.collect_failed("cluster")

    errors = "worker_metrics_collect_errors_total"
    assert value(first, errors, {"collector": "cluster"}) == 1
    assert value(second, errors, {"collector": "cluster"}) == 0


def test_what_became_of_asking_a_model_is_counted(metrics: Metrics) -> None:
    metrics.personalised(outcome="unfit")
    metrics.personalised(outcome="made up")

    name = "worker_personalisations_total"
    known = {"reworded": 0, "unfit": 1, "refused": 0, "slow": 0, "away": 0, "_other": 1}
    assert {one: value(metrics, name, {"outcome": one}) for one in known} == known
