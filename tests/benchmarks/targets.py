"""What deskhand promises, checked against one run's medians."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.benchmarks.bench import Figures

Results = Mapping[str, Mapping[str, Figures]]
"""Figures by scenario and peer."""

_STOCK = ("arq", "arq-default")
_ASYNCIO = (*_STOCK, "saq", "taskiq", "streaq")


@dataclass(frozen=True, slots=True)
class Target:
    """`value` raises KeyError or ValueError when the run has not what it needs."""

    text: str
    bound: float
    value: Callable[[Results], float]
    is_at_least: bool = True

    def verdict(self, results: Results) -> str:
        """One line."""
        try:
            value = self.value(results)
        except (KeyError, ValueError):
            return f"not measured  {self.text}"
        is_reached = value >= self.bound if self.is_at_least else value <= self.bound
        share = value / self.bound if self.is_at_least else self.bound / value
        word = "reached     " if is_reached else "MISSED      "
        return f"{word}  {self.text}: {value:.4g} ({100 * share:.0f} % of the way)"


def _rate(scenario: str, peer: str = "deskhand") -> Callable[[Results], float]:
    return lambda results: results[scenario][peer]["jobs_a_second"]


def _over(
    scenario: str, peers: tuple[str, ...], figure: str = "jobs_a_second"
) -> Callable[[Results], float]:
    """How many times the best of these peers."""

    def value(results: Results) -> float:
        figures = results[scenario]
        return figures["deskhand"][figure] / max(
            figures[peer][figure] for peer in peers if peer in figures
        )

    return value


def _scaling(results: Results) -> float:
    return _rate("drain-2")(results) / _rate("drain-1")(results)


def _backlog(results: Results) -> float:
    def cost(waiting: int) -> float:
        figures = results[f"backlog-{waiting}"]["deskhand"]
        return figures["worker_us"] + figures["redis_us"]

    return cost(1_000_000) / cost(10_000)


def _figure(scenario: str, name: str) -> Callable[[Results], float]:
    return lambda results: results[scenario]["deskhand"][name]


def _share(scenario: str, ideal: float) -> Callable[[Results], float]:
    return lambda results: 100 * _rate(scenario)(results) / ideal


TARGETS = (
    Target("drain >= 12 x stock ARQ at its best", 12, _over("drain-1", ("arq",))),
    Target("drain >= 8 x the best asyncio-and-Redis peer", 8, _over("drain-1", _ASYNCIO)),
    Target("drain >= 2 x BullMQ", 2, _over("drain-1", ("bullmq",))),
    Target("drain >= 2 x PgQueuer", 2, _over("drain-1", ("pgqueuer",))),
    Target("drain, one line a run >= 6 x stock at INFO", 6, _over("drain-logged", ("arq",))),
    Target("two processes >= 1.5 x one", 1.5, _scaling),
    Target("ten workers of 10 slots >= 25 x stock's ten", 25, _over("workers-10", _STOCK)),
    Target("a job with 1 M waiting <= 1.5 x the cost with 10 k", 1.5, _backlog, is_at_least=False),
    Target("10 ms jobs at 100 slots >= 85 % of ideal", 85, _share("nap-10", 10_000)),
    Target("100 ms jobs at 10 slots >= 95 % of ideal", 95, _share("nap-100", 100)),
    Target("pick-up p99 <= 5 ms", 5, _figure("latency-own", "p99_ms"), is_at_least=False),
    Target(
        "pick-up p99 <= 5 ms from a stock pool",
        5,
        _figure("latency-stock", "p99_ms"),
        is_at_least=False,
    ),
    Target("idle <= 1 % of a core", 1, _figure("idle", "worker_percent"), is_at_least=False),
    Target(
        "idle <= 10 Redis commands a second",
        10,
        _figure("idle", "commands_a_second"),
        is_at_least=False,
    ),
    Target("<= 0.05 round trips a job", 0.05, _figure("drain-1", "trips"), is_at_least=False),
    Target("<= 5 Redis commands a job", 5, _figure("drain-1", "commands"), is_at_least=False),
    Target(
        "enqueue one by one >= 2.5 x stock's rate",
        2.5,
        _over("enqueue", ("arq",), "one_a_second"),
    ),
    Target("enqueue_many >= 12 x stock's gather", 12, _over("enqueue", ("arq",), "bulk_a_second")),
    Target("enqueue_many >= 3 x addBulk", 3, _over("enqueue", ("bullmq",), "bulk_a_second")),
)
