"""Lines made in bulk say what lines through the pipeline say."""

import io
import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from worker.telemetry.logs import configure, get_logger
from worker.telemetry.run_lines import RunLines

RUN: dict[str, Any] = {
    "run_id": "0" * 32,
    "job": "testing.add_line",
    "queue": "default",
    "attempt": 1,
    "wait_ms": 3,
    "duration_ms": 12,
    "correlation_id": "request-42",
}
AT = 1_795_310_013.504


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    yield io.StringIO()
    configure(level="info", fmt="text")


def written(stream: io.StringIO, fmt: Literal["text", "json"], **changes: Any) -> list[str]:
    """The same run, through the pipeline and in bulk."""
    configure(level="info", fmt=fmt, stream=stream)
    run = {**RUN, **changes}
    get_logger("worker.run").info("Run succeeded", **run)
    lines = RunLines(fmt)
    lines.add("Run succeeded", at=AT, **run)
    lines.flush()
    lines.flush()
    return stream.getvalue().splitlines()


ODD = {
    "plain": {},
    "personal": {"run_id": "send:jane.doe@customer.example", "correlation_id": "+90 532 123 45 67"},
    "control": {"run_id": "a\x1b[2J\nb\x7f\u202e"},
    "turkish": {"run_id": "fatura-İı"},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
def test_a_json_line_is_the_pipelines(stream: io.StringIO, changes: dict[str, Any]) -> None:
    usual, bulk = written(stream, "json", **changes)

    expected = {**json.loads(usual), "timestamp": "2026-11-22T01:13:33.504Z"}
    assert list(json.loads(bulk).items()) == list(expected.items())
    assert bulk.isprintable() or "İı" in bulk


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
def test_a_text_line_is_the_pipelines(stream: io.StringIO, changes: dict[str, Any]) -> None:
    usual, bulk = written(stream, "text", **changes)

    assert bulk.startswith("[2026-11-22T01:13:33.504Z] [INFO] Run succeeded {")
    usual_context, context = (json.loads(line[line.index("{") :]) for line in (usual, bulk))
    assert list(context.items()) == list(usual_context.items())


def test_an_id_that_is_no_text_has_its_line(stream: io.StringIO) -> None:
    _, bulk = written(stream, "json", run_id="id\udce9")

    assert json.loads(bulk)["run_id"] == "id?"


def test_a_stream_that_is_gone_costs_no_run(stream: io.StringIO) -> None:
    configure(level="info", fmt="text", stream=stream)
    lines = RunLines("text")
    lines.add("Run succeeded", at=AT, **RUN)
    stream.close()

    lines.flush()


def test_a_higher_level_asks_for_no_lines(stream: io.StringIO) -> None:
    configure(level="warning", fmt="text", stream=stream)

    assert not RunLines("text").is_enabled
