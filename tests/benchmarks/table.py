"""Medians as text: one table for each scenario, and a ratio to stock ARQ in its last column."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from tests.benchmarks.bench import Figures
from tests.benchmarks.scenarios import Scenario

TITLES = {
    "jobs": "jobs",
    "jobs_a_second": "jobs/s",
    "worker_us": "worker µs",
    "redis_us": "Redis µs",
    "postgres_us": "PostgreSQL µs",
    "commands": "commands",
    "trips": "trips",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "one_a_second": "one by one/s",
    "bulk_a_second": "bulk/s",
    "worker_percent": "worker % of a core",
    "redis_percent": "Redis %",
    "commands_a_second": "commands/s",
    "trips_a_second": "trips/s",
}
BASE = "arq"


def medians(runs: Sequence[Figures]) -> Figures:
    """The median of each figure; of `lost` and `doubled` the sum, because none may hide."""
    return {
        name: sum(run[name] for run in runs)
        if name in ("lost", "doubled")
        else statistics.median(run[name] for run in runs)
        for name in runs[0]
    }


def number(value: float) -> str:
    """Three digits that matter, with a comma for thousands."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio(scenario: Scenario, figures: Figures, base: Figures) -> float:
    """How many times better than `base`."""
    ours, theirs = figures[scenario.headline], base[scenario.headline]
    better, worse = (ours, theirs) if scenario.is_more_better else (theirs, ours)
    return better / worse if worse else float("inf")


def _ran(figures: Figures) -> str:
    if "lost" not in figures:
        return ""
    lost, doubled = figures["lost"], figures["doubled"]
    return f"{lost:.0f} lost, {doubled:.0f} doubled" if lost or doubled else "each once"


def _against(scenario: Scenario, base: Figures | None) -> dict[str, Callable[[Figures], str]]:
    """Columns of ratios, by title. CPU is the one that a busy machine does not falsify."""
    if base is None:
        return {}
    columns = {
        f"× {BASE} ({TITLES[scenario.headline]})": lambda figures: number(
            ratio(scenario, figures, base)
        )
    }
    if "worker_us" in scenario.columns:
        columns[f"× {BASE} (CPU)"] = lambda figures: number(_cpu(base) / _cpu(figures))
    return columns


def _cpu(figures: Figures) -> float:
    return figures["worker_us"] + figures["redis_us"] + figures["postgres_us"]


def render(scenario: Scenario, results: Mapping[str, Figures], faults: Mapping[str, str]) -> str:
    """The table as Markdown, which reads well as it is; who failed is below it, by name."""
    against = _against(scenario, results.get(BASE))
    rows = [["", *(TITLES[column] for column in scenario.columns), *against, "ran"]]
    for name, figures in results.items():
        values = [number(figures[column]) for column in scenario.columns]
        ratios = [column(figures) for column in against.values()]
        rows.append([name, *values, *ratios, _ran(figures)])
    return "\n".join(
        [
            f"### {scenario.title}",
            "",
            *_aligned(rows),
            *(f"{name}: {fault}" for name, fault in faults.items()),
            "",
        ]
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        " | ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "|".join(
        "-" * (width + 1) + (":" if index else "-") for index, width in enumerate(widths)
    )
    return [f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])]
