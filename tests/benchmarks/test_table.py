import pytest

from tests.benchmarks.bench import Bench, Figures
from tests.benchmarks.peer import Peer
from tests.benchmarks.scenarios import Scenario
from tests.benchmarks.table import medians, number, ratio, render
from tests.benchmarks.targets import Target


def measure(bench: Bench, peer: Peer) -> Figures:
    return {}


DRAIN = Scenario(
    key="drain-1",
    title="Drain",
    measure=measure,
    columns=("jobs_a_second",),
    headline="jobs_a_second",
)


def test_a_lost_job_is_not_lost_in_a_median() -> None:
    pairs = ((3.0, 0.0), (1.0, 2.0), (9.0, 0.0))
    runs = [{"jobs_a_second": rate, "lost": lost} for rate, lost in pairs]

    assert medians(runs) == {"jobs_a_second": 3, "lost": 2}


def test_a_ratio_above_one_is_better_in_both_directions() -> None:
    waits = Scenario(
        key="latency",
        title="Pick-up",
        measure=measure,
        columns=("p50_ms",),
        headline="p50_ms",
        is_more_better=False,
    )

    assert ratio(DRAIN, {"jobs_a_second": 30}, {"jobs_a_second": 10}) == 3
    assert ratio(waits, {"p50_ms": 5}, {"p50_ms": 10}) == 2


@pytest.mark.parametrize(
    ("value", "text"), [(0.049, "0.05"), (12.34, "12.3"), (123.4, "123"), (98765.4, "98,765")]
)
def test_figures_have_three_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_who_failed_stands_below_the_table() -> None:
    figures = {
        "deskhand": {"jobs_a_second": 50.0, "lost": 1, "doubled": 0},
        "arq": {"jobs_a_second": 10.0, "lost": 0, "doubled": 0},
    }

    lines = render(DRAIN, figures, {"saq": "ended with 1"}).splitlines()

    assert lines[0] == "### Drain"
    assert [cell.strip() for cell in lines[4].split("|")[1:-1]] == [
        "deskhand",
        "50.0",
        "5.00",
        "1 lost, 0 doubled",
    ]
    assert [cell.strip() for cell in lines[5].split("|")[-2:-1]] == ["each once"]
    assert lines[6] == "saq: ended with 1"


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [
        (30.0, "reached       fast >= 20: 30 (150 % of the way)"),
        (10.0, "MISSED        fast >= 20: 10 (50 % of the way)"),
        (None, "not measured  fast >= 20"),
    ],
)
def test_a_target_says_how_far_it_is(rate: float | None, verdict: str) -> None:
    target = Target("fast >= 20", 20, lambda results: results["drain"]["deskhand"]["rate"])

    assert (
        target.verdict({} if rate is None else {"drain": {"deskhand": {"rate": rate}}}) == verdict
    )
