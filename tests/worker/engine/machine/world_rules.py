"""What happens around the engine: time, an emptied Redis, stock pools and stock workers."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.worker.engine.machine.model import STOCK, Model, ModelRun
from tests.worker.engine.machine.stage import HOUR_MS, NAMES, Stage


def is_locked(run: ModelRun) -> bool:
    return run.lock is not None


def is_deferred(run: ModelRun) -> bool:
    return run.is_waiting and not run.is_due


def has_result(run: ModelRun) -> bool:
    return run.has_result


def is_mortal(run: ModelRun) -> bool:
    return run.is_waiting and run.is_mortal


def is_takeable(run: ModelRun) -> bool:
    return run.is_live and run.is_due and run.lock is None and run.payload is not None


def is_stocks(run: ModelRun) -> bool:
    return run.lock == STOCK


def is_live(run: ModelRun) -> bool:
    return run.is_live


def is_gone(run: ModelRun) -> bool:
    return not run.is_queued and run.payload is None


class WorldRules(Stage):
    # Time

    @precondition(lambda self: self.some(is_locked))
    @rule(data=st.data())
    def lapse(self, data: st.DataObject) -> None:
        """A worker, ours or not, says nothing for longer than its lease."""
        run = self.draw_run(data, is_locked)
        token = run.lock
        self.redis.delete(f"arq:in-progress:{run.run_id}")
        if run.scored_by == token and token is not None:
            # As if it had been given so much earlier.
            past = next(self.serial)
            self.redis.zadd(run.queue.key, {run.run_id: past + 0.5})
            for worker in self.workers.values():
                for claim in worker.claims:
                    if claim.token == token and claim.run_id == run.run_id:
                        claim.leased_ms = past
            run.is_due = True
        run.lock = None

    @precondition(lambda self: self.some(is_deferred))
    @rule(data=st.data())
    def come_due(self, data: st.DataObject) -> None:
        self.set_due(self.draw_run(data, is_deferred))

    @precondition(lambda self: self.some(has_result))
    @rule(data=st.data())
    def forget_result(self, data: st.DataObject) -> None:
        run = self.draw_run(data, has_result)
        self.redis.delete(f"arq:result:{run.run_id}")
        run.has_result = False

    @precondition(lambda self: self.some(is_mortal))
    @rule(data=st.data())
    def lose_payload(self, data: st.DataObject) -> None:
        """A stock pool's payload expires before anybody came to it."""
        run = self.draw_run(data, is_mortal)
        self.redis.delete(f"arq:job:{run.run_id}")
        run.payload, run.is_mortal = None, False

    @precondition(lambda self: not self.was_emptied and self.some(is_locked))
    @rule()
    def empty(self) -> None:
        self.redis.flushall()
        self.model = Model()
        self.was_emptied = True
        for worker in self.workers.values():
            worker.sent.clear()

    # Stock callers and workers

    @rule(name=st.sampled_from(sorted(NAMES)), is_due=st.booleans())
    def stock_enqueue(self, name: str, *, is_due: bool) -> None:
        run = self.model.run(name, NAMES[name])
        if self.redis.exists(f"arq:job:{name}", f"arq:result:{name}") or run.lock is not None:
            return
        payload = b"stock payload %d" % next(self.serial)
        self.redis.psetex(f"arq:job:{name}", 25 * HOUR_MS, payload)
        self.redis.zadd(run.queue.key, {name: self.now() + HOUR_MS})
        run.open(payload, is_due=False, is_mortal=True)
        if is_due:
            self.set_due(run)

    @precondition(lambda self: self.some(is_takeable))
    @rule(data=st.data())
    def stock_take(self, data: st.DataObject) -> None:
        run = self.draw_run(data, is_takeable)
        self.redis.psetex(f"arq:in-progress:{run.run_id}", HOUR_MS, STOCK)
        self.redis.incr(f"arq:retry:{run.run_id}")
        self.redis.expire(f"arq:retry:{run.run_id}", 88_400)
        self.model.stock_take(run)

    @precondition(lambda self: self.some(is_stocks))
    @rule(data=st.data(), keeps_result=st.booleans())
    def stock_finish(self, data: st.DataObject, *, keeps_result: bool) -> None:
        run = self.draw_run(data, is_stocks)
        keys = (f"arq:{kind}:{run.run_id}" for kind in ("in-progress", "retry", "job"))
        self.redis.delete(*keys)
        self.redis.zrem(run.queue.key, run.run_id)
        if keeps_result:
            self.redis.psetex(f"arq:result:{run.run_id}", HOUR_MS, b"stock")
        self.model.stock_finish(run, has_result=keeps_result)

    @precondition(lambda self: self.some(is_stocks))
    @rule(data=st.data(), is_due=st.booleans())
    def stock_retry(self, data: st.DataObject, *, is_due: bool) -> None:
        run = self.draw_run(data, is_stocks)
        self.redis.delete(f"arq:in-progress:{run.run_id}")
        self.redis.zadd(run.queue.key, {run.run_id: self.now() + HOUR_MS})
        self.model.stock_retry(run)
        if is_due:
            self.set_due(run)

    @precondition(lambda self: self.some(is_live))
    @rule(data=st.data())
    def stock_abort(self, data: st.DataObject) -> None:
        run = self.draw_run(data, is_live)
        if not run.is_due:
            self.redis.zadd(run.queue.key, {run.run_id: 1})
        self.redis.zadd("arq:abort", {run.run_id: self.now()})
        self.model.stock_abort(run)

    @precondition(lambda self: self.some(is_gone))
    @rule(data=st.data())
    def stock_abort_too_late(self, data: st.DataObject) -> None:
        """It saw the run just before its end, and puts it back just after."""
        run = self.draw_run(data, is_gone)
        self.redis.zadd(run.queue.key, {run.run_id: 1})
        self.redis.zadd("arq:abort", {run.run_id: self.now()})
        self.model.stock_abort_too_late(run)
