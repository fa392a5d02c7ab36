"""The samples for Prometheus and KEDA ask for metrics that there are."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from worker.telemetry.metrics import Metrics

FOLDER = Path(str(files("worker"))) / "deploy"


@pytest.mark.parametrize("name", ["prometheus/notices.yml", "kubernetes/scaled-object.yaml"])
def test_every_metric_is_one_of_ours(name: str) -> None:
    metrics = Metrics((("email", "email.send"),))
    known = {family.name for family in metrics.registry.collect()}
    known |= {f"{family.name}_total" for family in metrics.registry.collect()}

    asked = set(re.findall(r"\bworker_[a-z_]+", (FOLDER / name).read_text()))

    assert asked
    assert asked <= known
