"""Takes a world through all of it: takeovers, faults, rest, and the reckoning."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.chaos.fleet import Fleet
from tests.chaos.history import count_final, count_waiting, read_keys, read_records, watch_leases
from tests.chaos.invariants import EMPTY_AT_REST, Evidence, Violation, violations
from tests.chaos.marks import read_intervals
from tests.chaos.orders import orders
from tests.chaos.plan import Fault, longest_gap, plan
from tests.chaos.producers import Accepted, produce
from tests.chaos.report import Report
from tests.chaos.stage import Stage
from tests.chaos.takeover import Takeover, measure
from tests.chaos.world import World, open_world

_GRACE = 2  # seconds that a run gets after SIGTERM: the longest ones are given back
_SAY_EVERY = 10  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Times in seconds. `rest` is how long everything may take to end when the faults are over."""

    runs: int
    seconds: float
    workers: int
    seed: int
    lease: float
    takeover_lease: float
    rest: float


def run(options: Options, directory: Path, say: Callable[[str], None]) -> Report:
    """Play it all. Everything that was started is gone afterwards."""
    with open_world(directory) as world:
        accepted = Accepted()
        say(f"takeover, with leases of {options.takeover_lease:g} s")
        takeovers, former = measure(world, lease=options.takeover_lease, accepted=accepted)
        for takeover in takeovers:
            say(f"  {takeover}")
        environment = world.environment(lease=options.lease, grace=_GRACE)
        environment["SCHEDULER"] = "false"  # what is asked for is counted, and ticks are not
        fleet = Fleet(directory, environment, name="worker")
        stage = Stage(world, fleet)
        faults = plan(seed=options.seed, seconds=options.seconds, lease=options.lease)
        try:
            broken_leases = _play(stage, faults, accepted, options, say)
            _rest(stage, accepted, options.rest, say)
            fleet.stop()
        finally:
            fleet.end()
        evidence = _evidence(world, [former, fleet], accepted, options.lease)
        found = [*violations(evidence), *_others(takeovers, [former, fleet], broken_leases)]
        return Report(
            evidence=evidence,
            violations=found,
            takeovers=takeovers,
            faults=stage.done,
            enqueue_retries=accepted.retries,
            cut_replies=world.proxy.cut_replies,
            workers=len(fleet.all),
            errors=fleet.errors(),
            ends={worker.name: worker.ended or 0 for worker in [*former.all, *fleet.all]},
        )


def _play(
    stage: Stage,
    faults: Sequence[Fault],
    accepted: Accepted,
    options: Options,
    say: Callable[[str], None],
) -> list[str]:
    """Enqueue evenly while the faults happen; returns the leases that have no end."""
    world, broken_leases = stage.world, list[str]()
    watching = world.background.start(watch_leases(world.valkey.url, options.lease, broken_leases))
    stage.fleet.keep(options.workers)
    asked = list(orders(options.runs, seed=options.seed, lease=options.lease))
    work = produce(world.proxy.port, asked, accepted, seconds=options.seconds)
    producing = world.background.start(work)
    began = said = time.monotonic()
    for fault in faults:
        stage.at(began + fault.at, partial(stage.play, fault))
    while stage.tick() or not producing.done():
        if time.monotonic() - said > _SAY_EVERY:
            said = time.monotonic()
            faults_done = sum(stage.done.values())
            say(f"  {said - began:.0f} s: {len(accepted.orders)} accepted, {faults_done} faults")
    producing.result()
    watching.cancel()
    return broken_leases


def _rest(stage: Stage, accepted: Accepted, patience: float, say: Callable[[str], None]) -> None:
    """Wait until everything accepted has ended and is written down, but no longer than that."""
    world, began = stage.world, time.monotonic()
    said, wanted = began, len(accepted.orders)
    while time.monotonic() - began < patience:
        ended = world.background.run(count_final(world.postgres.url, list(accepted.orders)))
        waiting = world.background.run(count_waiting(world.valkey.url, EMPTY_AT_REST))
        is_over = ended == wanted and not waiting
        if time.monotonic() - said > _SAY_EVERY or is_over:
            said = time.monotonic()
            passed = f"{said - began:.0f} s after the faults"
            say(f"  {passed}: {ended} of {wanted} ended, {waiting} records in Redis")
        if is_over:
            return
        for _ in range(25):
            stage.tick()


def _evidence(world: World, fleets: Sequence[Fleet], accepted: Accepted, lease: float) -> Evidence:
    workers = [worker for fleet in fleets for worker in fleet.all]
    ends = {worker.name: worker.ended or time.monotonic_ns() for worker in workers}
    longest = int(longest_gap(lease) * 1.2 * 1e9)
    receipts: dict[str, int] = {}
    for recipient in world.relay.recipients:
        run_id = recipient.partition("@")[0]
        receipts[run_id] = receipts.get(run_id, 0) + 1
    return Evidence(
        orders=accepted.orders,
        records=world.background.run(read_records(world.postgres.url)),
        receipts=receipts,
        intervals=read_intervals(world.directory / "marks", ends),
        stops={
            worker.name: [(since, to) for since, to in worker.stops if to - since > longest]
            for worker in workers
        },
        killed=frozenset(worker.name for worker in workers if worker.is_killed),
        keys=world.background.run(read_keys(world.valkey.url)),
    )


def _others(
    takeovers: Sequence[Takeover], fleets: Sequence[Fleet], broken_leases: Sequence[str]
) -> list[Violation]:
    return [
        *(
            Violation("a takeover took too long", takeover.after, str(takeover))
            for takeover in takeovers
            if not takeover.is_in_time
        ),
        *(
            Violation("a worker did not end well", trouble.partition(" ")[0], trouble)
            for fleet in fleets
            for trouble in fleet.troubles
        ),
        *(
            Violation("a lease without end", lease.partition(" ")[0], lease)
            for lease in broken_leases
        ),
    ]
