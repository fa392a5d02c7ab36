"""`python -m tests.benchmarks` (`make bench`): deskhand beside its peers, in one run.

Each scenario runs the peers in turn, again and again (A B C A B C …), so that a change of the
machine's mood meets all of them; a figure is the median. Who fails is named, not left out.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tests.benchmarks.bench import Bench, Figures
from tests.benchmarks.environment import absent
from tests.benchmarks.measure import Busyness
from tests.benchmarks.orders import BenchmarkError
from tests.benchmarks.peer import PEERS, Peer
from tests.benchmarks.scenarios import Scenario, scenarios
from tests.benchmarks.servers import running_servers
from tests.benchmarks.table import medians, render
from tests.benchmarks.targets import TARGETS
from tests.saying import say


def main() -> int:
    """1 when deskhand failed, lost a job or ran one twice; a missed target is only said."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _stop)
    options = _options()
    chosen = [one for one in scenarios(is_quick=options.quick) if _is_chosen(one, options.only)]
    peers = [peer for peer in PEERS if not options.peers or peer.name in options.peers]
    missing = absent(peers)
    peers = [peer for peer in peers if peer.name not in missing]
    say(
        f"deskhand beside its peers: medians; Python {platform.python_version()}, "
        f"{os.cpu_count()} cores. Who is slow gets fewer jobs than the title says."
    )
    for name, reason in missing.items():
        say(f"absent: {name}: {reason}")
    results: dict[str, dict[str, Figures]] = {}
    is_sound = True
    with (
        tempfile.TemporaryDirectory(prefix="deskhand-bench-") as directory,
        running_servers(Path(directory)) as servers,
    ):
        busyness = Busyness(servers.cpu_seconds)
        bench = Bench(servers, Path(directory))
        for peer in peers:
            bench.prepare(peer)
        for scenario in chosen:
            figures, faults = _measure(bench, scenario, peers)
            results[scenario.key] = figures
            is_sound = is_sound and _is_sound(figures, faults)
            if figures or faults:
                say("\n" + render(scenario, figures, faults))
        say(busyness.sentence())
    say("\n".join(["\nTargets:", *(target.verdict(results) for target in TARGETS)]))
    return 0 if is_sound else 1


def _stop(signum: int, _frame: FrameType | None) -> None:
    """End, and let nothing interrupt that: a second signal would leave workers behind."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + signum)


def _measure(
    bench: Bench, scenario: Scenario, peers: Sequence[Peer]
) -> tuple[dict[str, Figures], dict[str, str]]:
    """Medians and faults, by peer."""
    taking_part = [peer for peer in peers if peer.name in scenario.peers]
    runs: dict[str, list[Figures]] = defaultdict(list)
    faults: dict[str, str] = {}
    for _ in range(scenario.repetitions):
        for peer in taking_part:
            try:
                figures = scenario.measure(bench, peer)
                runs[peer.name].append(figures)
            except BenchmarkError as error:
                faults[peer.name] = str(error)
    return {name: medians(several) for name, several in runs.items()}, faults


def _is_sound(figures: dict[str, Figures], faults: dict[str, str]) -> bool:
    ours = figures.get("deskhand", {})
    return "deskhand" not in faults and not (ours.get("lost") or ours.get("doubled"))


def _is_chosen(scenario: Scenario, only: Sequence[str]) -> bool:
    return not only or scenario.group in only or scenario.key in only


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each once, with fewer jobs")
    parser.add_argument(
        "--only", type=_words, default=[], help="groups or keys of scenarios: drain,nap-10"
    )
    parser.add_argument("--peers", type=_words, default=[], help="deskhand,arq")
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
