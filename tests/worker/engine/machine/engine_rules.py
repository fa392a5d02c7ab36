"""What pools and workers of ours ask of Redis."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.worker.engine.machine.stage import HOUR_MS, LEASES, NAMES, SERVED, ModelWorker, Stage
from worker.engine.claims import Claim, Finish, claims_of, held
from worker.engine.store import EVENTS_LIMIT, Tick

OVER = ("succeeded", "cancelled", "dead", "expired")
BACK = ("retrying", "retrying", "snoozed", "released", "unknown")


class EngineRules(Stage):
    # Enqueuing

    @rule(
        name=st.sampled_from(sorted(NAMES)),
        is_new=st.sampled_from([False, False, True]),
        is_due=st.sampled_from([True, True, False]),
        times=st.sampled_from([1, 1, 2]),
    )
    def enqueue(self, name: str, times: int, *, is_new: bool, is_due: bool) -> None:
        """An id of the caller's, or one made just now; its call may be sent twice."""
        serial = next(self.serial)
        run = self.model.run(f"{name}{serial}" if is_new else name, NAMES[name])
        payload = b"payload %d" % serial
        wait_ms = 0 if is_due else HOUR_MS
        arguments: list[str | int | bytes] = [
            "machine.job",
            "",
            wait_ms,
            int(is_new),
            EVENTS_LIMIT,
            "",
            0,
            run.run_id,
            payload,
        ]
        for _ in range(times):
            expected = self.model.enqueue(run, payload, is_due=is_due, is_certain=is_new)
            verdict = self.scripts["enqueue"](keys=[run.queue.key], args=arguments)
            assert verdict == (b"1" if expected else b"0")
            if expected and is_due:
                self.set_due(run)

    # The engine's calls

    @rule(
        data=st.data(),
        name=st.sampled_from(sorted(LEASES)),
        free=st.tuples(*[st.sampled_from([2, 1, 1, 3, 0])] * len(SERVED)),
        most=st.integers(1, 4),
        lane=st.integers(1, 2),
        times=st.sampled_from([1, 1, 1, 2, 3]),
        is_heard=st.sampled_from([True, True, True, False]),
    )
    def tick(
        self,
        data: st.DataObject,
        name: str,
        free: tuple[int, ...],
        most: int,
        lane: int,
        times: int,
        *,
        is_heard: bool,
    ) -> None:
        """End some of what the worker has or had, claim more; sent again, and perhaps unheard."""
        worker = self.workers[name]
        claims = self.draw_claims(data, worker, least=0)
        finishes = [self.draw_finish(data, claim) for claim in claims]
        slots = {queue.name: count for queue, count in zip(SERVED, free, strict=True)}
        tick = worker.store.tick(finishes, slots, most=most, lane=lane)
        replies = [self.send(tick) for _ in range(times)]
        assert replies == [replies[0]] * times
        worker.sent.append((tick, replies[0][0].decode()))
        claimed = self.learn(worker, tick, replies[0], slots, most)
        if is_heard:
            worker.store.epoch = replies[0][0].decode()
            worker.claims += claimed

    @precondition(lambda self: any(self.late_ticks(worker) for worker in self.workers.values()))
    @rule(data=st.data())
    def late_tick(self, data: st.DataObject) -> None:
        """An old call arrives once more: the model knows nothing of it, so nothing may change."""
        late = [tick for worker in self.workers.values() for tick in self.late_ticks(worker)]
        self.send(data.draw(st.sampled_from(late)))

    @precondition(lambda self: any(worker.claims for worker in self.workers.values()))
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        able = [worker.worker_id for worker in self.workers.values() if worker.claims]
        worker = self.workers[data.draw(st.sampled_from(able))]
        claims = self.draw_claims(data, worker, least=1)
        queues, leases = held(claims)
        ends, lost = self.scripts["renew"](keys=queues, args=[worker.lease_ms, *leases])
        assert set(lost) == {claim.key for claim in claims if not self.model.renew(claim)}
        for claim in claims:
            if claim.key not in lost:
                claim.leased_ms = ends

    # What these rules are made of

    def send(self, tick: Tick) -> list[Any]:
        keys, arguments = tick.arguments[: len(SERVED)], tick.arguments[len(SERVED) :]
        reply: list[Any] = self.scripts["tick"](keys=[str(key) for key in keys], args=arguments)
        return reply

    def learn(
        self,
        worker: ModelWorker,
        tick: Tick,
        reply: list[Any],
        slots: dict[str, int],
        most: int,
    ) -> list[Claim]:
        """Check one answer against the model, and have the model do the same."""
        self.model.epoch = reply[0].decode()
        expected = [self.model.end(finish) for finish in tick.finishes]
        assert reply[1].decode() == "".join("01"[verdict] for verdict in expected)
        claims = claims_of(reply, SERVED, tick.token)
        for queue in SERVED:
            ours = [claim for claim in claims if claim.queue == queue]
            due = len(self.model.claimable(queue))
            assert len(ours) == max(min(slots[queue.name], most, due), 0)
            assert [claim.due_ms for claim in ours] == sorted(claim.due_ms for claim in ours)
            most -= len(ours)
        taken = 0
        for queue in SERVED:
            ours = [claim for claim in claims if claim.queue == queue]
            taken += len(ours)
            if ours:
                self.model.claim(ours, worker.worker_id, taken)
        for run in self.model.runs.values():
            if run.is_waiting and run.is_due:
                self.set_due(run)
            if run.is_leftover and self.redis.zscore(run.queue.key, run.run_id) is None:
                self.model.drop(run)
        return claims

    def draw_claims(self, data: st.DataObject, worker: ModelWorker, *, least: int) -> list[Claim]:
        """Of each run at most one: that is how a worker keeps them. The newest come first."""
        if not worker.claims:
            return []
        newest = st.integers(1, len(worker.claims))
        choice = st.lists(
            newest, min_size=least, max_size=4, unique_by=lambda nth: worker.claims[-nth].run_id
        )
        return [worker.claims[-nth] for nth in data.draw(choice)]

    def draw_finish(self, data: st.DataObject, claim: Claim) -> Finish:
        # Without a payload there is nothing to try again.
        kind = data.draw(st.sampled_from(OVER if claim.raw is None else OVER + BACK))
        serial = next(self.serial)
        if kind in OVER:
            letter = b"letter %d" % serial if kind == "dead" else b""
            life = data.draw(st.sampled_from([0, HOUR_MS]))
            record = b"end %d over" % serial
            return Finish(claim, kind, record, letter, result=b"{}", result_ttl_ms=life)
        wait_ms = data.draw(st.sampled_from([0, HOUR_MS]))
        return Finish(
            claim,
            kind,
            b"end %d" % serial,
            is_over=False,
            wait_ms=wait_ms,
            spends_attempt=kind == "retrying",
        )

    def late_ticks(self, worker: ModelWorker) -> Sequence[Tick]:
        return [tick for tick, epoch in worker.sent if epoch == self.model.epoch]
