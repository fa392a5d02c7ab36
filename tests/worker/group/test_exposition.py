import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from worker.group.exposition import merged
from worker.telemetry.metrics import Metrics

OPEN = "application/openmetrics-text"


def metrics(runs: int) -> Metrics:
    made = Metrics([("email", "email.send")], version="1")
    made.attempts_ended(
        queue="email", function="email.send", status="success", seconds=[0.5] * runs
    )
    return made


@pytest.mark.parametrize(("accept", "parse"), [(None, plain), (OPEN, open_metrics)])
def test_every_series_is_there_once_for_each_process(accept: str | None, parse: object) -> None:
    assert callable(parse)
    one, two = metrics(3), metrics(4)
    text = merged({0: one.render(accept)[0], 2: two.render(accept)[0], 3: None}).decode()

    families = list(parse(text))

    names = [family.name for family in families]
    assert len(names) == len(set(names))
    found = {
        (sample.labels["process"], sample.labels.get("function")): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "worker_jobs_processed_total" and sample.value
    }
    assert found == {("0", "email.send"): 3, ("2", "email.send"): 4}
    (up,) = [family for family in families if family.name == "worker_process_up"]
    assert {sample.labels["process"]: sample.value for sample in up.samples} == {
        "0": 1,
        "2": 1,
        "3": 0,
    }


def test_a_sample_without_labels_gets_one_and_an_exemplar_stays() -> None:
    body = b'# HELP a A.\n# TYPE a counter\na_total 1.0 # {trace="x"} 1.0\nb{} 2\n# EOF\n'

    lines = merged({1: body}).decode().splitlines()

    assert 'a_total{process="1"} 1.0 # {trace="x"} 1.0' in lines
    assert 'b{process="1"} 2' in lines
    assert lines[-1] == "# EOF"
