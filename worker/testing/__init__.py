"""For the tests of whoever writes jobs: run a job as a worker would, and look at what it did.

    with Rig(db=db, clock=Clock(datetime(2026, 12, 3, 9, tzinfo=UTC))) as rig:
        ended = await rig.run(send_payment_reminder, {"tenant_id": …, "invoice_id": …, "step": 1})

    receipt = ended.succeeded()
    assert rig.mails[0].mail.subject == "Invoice INV-7 is overdue"

`worker.testing.fixtures` has fixtures for pytest; nothing else here needs it.
"""

from worker.testing.captured import NotGivenError, SentMail
from worker.testing.clock import Clock
from worker.testing.draining import DrainError
from worker.testing.ended import Ended
from worker.testing.enqueued import Waiting, assert_enqueued, enqueued, refute_enqueued
from worker.testing.pool import RigPool, open_rig_pool
from worker.testing.private import private_postgres, private_redis
from worker.testing.rig import Rig

__all__ = [
    "Clock",
    "DrainError",
    "Ended",
    "NotGivenError",
    "Rig",
    "RigPool",
    "SentMail",
    "Waiting",
    "assert_enqueued",
    "enqueued",
    "open_rig_pool",
    "private_postgres",
    "private_redis",
    "refute_enqueued",
]
