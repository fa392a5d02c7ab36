"""What Redis should hold, in plain Python: runs as the engine, stock pools and workers left them.

Time is not modelled: a run that waits is due or is not, and a lease lapses when a rule says so.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.kit import Queue
from worker.engine.claims import Claim, Finish

STOCK = "1"  # what a stock worker's lock holds


@dataclass
class ModelRun:
    """One run id through all its lives.

    `scored_by` is the token whose lease's end is the score. `opened` and `closed` count accepted
    and finished runs; `is_leftover` says that a stock abort put the id back after its run's end.
    """

    run_id: str
    queue: Queue
    payload: bytes | None = None
    is_mortal: bool = False
    is_queued: bool = False
    is_due: bool = False
    lock: str | None = None
    scored_by: str | None = None
    spent: int | None = None
    crashes: int = 0
    has_result: bool = False
    is_aborted: bool = False
    is_unknown: bool = False
    is_leftover: bool = False
    opened: int = 0
    closed: int = 0

    @property
    def is_live(self) -> bool:
        return self.is_queued and not self.is_leftover

    @property
    def is_waiting(self) -> bool:
        return self.is_live and self.lock is None and self.scored_by is None

    @property
    def is_claimable(self) -> bool:
        """Would a free slot take it? A finished id that came back is dropped instead."""
        has_run = self.payload is not None or not self.has_result
        return self.is_queued and self.is_due and self.lock is None and has_run

    def wait(self, *, is_due: bool) -> None:
        self.is_queued, self.is_due, self.scored_by = True, is_due, None

    def open(self, payload: bytes, *, is_due: bool, is_mortal: bool = False) -> None:
        # One that waits and whose payload had expired is still the same run.
        self.opened += not self.is_live or self.lock is not None
        self.payload, self.is_mortal, self.is_leftover = payload, is_mortal, False
        self.wait(is_due=is_due)

    def close(self, *, has_result: bool) -> None:
        self.closed += 1
        self.payload = self.lock = self.scored_by = None
        self.is_queued = self.is_due = False
        self.spent = None
        self.has_result = self.has_result or has_result


@dataclass
class Model:
    runs: dict[str, ModelRun] = field(default_factory=dict)
    events: list[tuple[str, str]] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    epoch: str | None = None

    def run(self, run_id: str, queue: Queue) -> ModelRun:
        return self.runs.setdefault(run_id, ModelRun(run_id, queue))

    # The engine

    def enqueue(self, run: ModelRun, payload: bytes, *, is_due: bool, is_certain: bool) -> bool:
        is_ending = run.has_result or run.lock is not None
        if run.payload is not None or (is_ending and not is_certain):
            return False
        run.open(payload, is_due=is_due)
        run.is_aborted = run.is_aborted and is_certain
        self.events.append((f"+{run.queue.key}\nmachine.job", run.run_id))
        return True

    def may_end(self, claim: Claim) -> bool:
        run = self.run(claim.run_id, claim.queue)
        if run.lock is not None:
            return run.lock == claim.token
        if run.is_queued:
            return run.scored_by == claim.token  # it lapsed, and nobody took it
        return claim.epoch != self.epoch and run.payload is None and not run.has_result

    def end(self, finish: Finish) -> bool:
        claim = finish.claim
        if not self.may_end(claim):
            return False
        run = self.run(claim.run_id, claim.queue)
        if run.lock is not None or run.is_queued:
            self.counts[f"{run.queue.key} running"] -= 1
        if not run.is_queued:
            run.opened += 1  # the emptied Redis hears of it with its end
        run.lock = None
        if finish.is_over:
            run.close(has_result=bool(finish.result and finish.result_ttl_ms))
            run.crashes, run.is_aborted, run.is_unknown, run.is_leftover = 0, False, False, False
        else:
            run.payload = claim.raw if run.payload is None else run.payload
            run.spent = claim.attempts_spent + finish.spends_attempt
            # Its worker knew the job, if it ended in any other way: the grace begins anew.
            run.is_unknown = finish.kind == "unknown"
            run.is_leftover = False
            run.wait(is_due=finish.wait_ms == 0)
        self.counts[f"{claim.queue.key} {finish.kind}"] += 1
        self.events.append(("=" + run.run_id, finish.record.decode()))
        if finish.dead_letter:
            self.letters.append(finish.dead_letter.decode())
        return True

    def claimable(self, queue: Queue) -> list[ModelRun]:
        return [run for run in self.runs.values() if run.queue == queue and run.is_claimable]

    def claim(self, claims: Sequence[Claim], worker_id: str, taken: int) -> None:
        """Check what the claims of one queue brought, and remember whose the runs are.

        `taken` counts the call's claims up to these.
        """
        crashed = [self._claim(claim) for claim in claims]
        queue = claims[0].queue.key
        if fresh := crashed.count(False):
            self.counts[f"{queue} running"] += fresh
        run_ids = "\n".join(claim.run_id for claim in claims)
        self.events.append((f">{queue}\n{worker_id}\n{taken}", run_ids))

    def _claim(self, claim: Claim) -> bool:
        """Did it come due by its lease's end?"""
        run = self.runs[claim.run_id]
        assert run.is_claimable, f"{claim.run_id} is nobody's to claim"
        is_crash = run.scored_by is not None
        if is_crash:
            run.crashes = min(run.crashes + 1, 9)
            self.events.append(("!" + run.run_id, f"{run.queue.key}\n{run.crashes}"))
        assert claim.raw == run.payload
        assert claim.attempts_spent == (run.spent or 0)
        assert claim.is_first == (run.spent is None and not is_crash)
        assert claim.crashes == (run.crashes if is_crash else 0)
        assert (claim.aborted_ms is not None) == run.is_aborted
        assert (claim.unknown_ms is not None) == run.is_unknown
        run.lock = run.scored_by = claim.token
        run.is_due = run.is_mortal = False
        if run.is_leftover:
            run.is_leftover = False  # nothing tells it from a run whose payload expired
            run.opened += 1
        return is_crash

    def renew(self, claim: Claim) -> bool:
        """False when the lease is lost. What an emptied Redis does not know is not lost."""
        run = self.run(claim.run_id, claim.queue)
        is_free = run.lock is None and run.is_queued and run.scored_by == claim.token
        if run.lock == claim.token or is_free:
            run.lock = run.scored_by = claim.token
            run.is_due = False
            return True
        return claim.epoch != self.epoch

    # Time, and others

    def lapse(self, run: ModelRun) -> None:
        """The lock ran out, and with it the lease whose end is the score."""
        run.lock = None
        run.is_due = True

    def stock_take(self, run: ModelRun) -> None:
        run.lock = STOCK
        run.spent = (run.spent or 0) + 1

    def stock_finish(self, run: ModelRun, *, has_result: bool) -> None:
        """It knows nothing of what the engine remembers of the run."""
        run.close(has_result=has_result)

    def stock_retry(self, run: ModelRun) -> None:
        run.lock = None
        run.wait(is_due=False)

    def stock_abort(self, run: ModelRun) -> None:
        run.is_aborted = True
        if not run.is_due:
            # It makes due what is not, also what runs: only the lock keeps that where it is.
            run.is_due, run.scored_by = True, None

    def stock_abort_too_late(self, run: ModelRun) -> None:
        run.is_aborted = run.is_queued = run.is_due = run.is_leftover = True

    def drop(self, run: ModelRun) -> None:
        """A claim came by the id of a finished run, and took it away."""
        assert run.is_leftover
        run.is_leftover = run.is_queued = run.is_due = run.is_aborted = False
