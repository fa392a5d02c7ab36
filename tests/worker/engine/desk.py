"""The engine's scripts as one worker calls them, without its loop."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from jobs.kit import QUEUES, Queue
from worker.engine.claims import Claim, Finish, held
from worker.engine.scripts import script
from worker.engine.store import RunStore
from worker.enqueuer import Pool

# What an attempt's end says, without its claim.
End = Mapping[str, Any]


class Desk:
    def __init__(self, pool: Pool, *, worker_id: str, lease: timedelta) -> None:
        self.store = RunStore(pool, queues=tuple(QUEUES.values()), worker_id=worker_id, lease=lease)
        self._lease_ms = int(lease / timedelta(milliseconds=1))
        self._renew = pool.register_script(script("renew").text)

    async def claim(self, free: Mapping[Queue, int], *, most: int = 128) -> Sequence[Claim]:
        slots = {queue.name: count for queue, count in free.items()}
        return (await self.store.send(self.store.tick([], slots, most=most))).claims

    async def finish(self, claim: Claim, end: End) -> bool:
        (verdict,) = await self.finish_all([(claim, end)])
        return verdict

    async def finish_all(self, ends: Sequence[tuple[Claim, End]]) -> Sequence[bool]:
        finishes = [Finish(claim, **end) for claim, end in ends]
        return (await self.store.send(self.store.tick(finishes, {}))).verdicts

    async def renew(self, claims: Sequence[Claim]) -> set[str]:
        """The run ids whose lease is lost."""
        queues, leases = held(claims)
        ends, lost = await self._renew(keys=queues, args=[self._lease_ms, *leases])
        for claim in claims:
            if claim.key not in lost:
                claim.leased_ms = ends
        return {run_id.decode() for run_id in lost}

    def close(self) -> None:
        self.store.close()


def over(**changes: Any) -> End:
    """A success, unless told otherwise."""
    fields = {"kind": "succeeded", "record": b"event", "result": b"{}", "result_ttl_ms": 60_000}
    return {**fields, **changes}


def again(**changes: Any) -> End:
    """Back to the queue at once, unless told otherwise."""
    return {"kind": "released", "record": b"event", "is_over": False, **changes}
