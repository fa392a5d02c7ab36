"""Runs that are enqueued if, and only if, a transaction commits.

    async with connection.transaction():
        await connection.execute("insert into invoices …")
        await enqueue_in(connection, "dunning.send_payment_reminder", {"invoice_id": …, …})

The row that `enqueue_in` writes is the promise. Each worker's relay moves rows to Redis; a row
stays until its run is over, so that a Redis that lost its data is filled again.

A row becomes one run, whoever is killed in between. Redis notes which rows it was given
(`deskhand:outbox`, in the script that enqueues), and forgets that some seconds after PostgreSQL has
committed it: a relay that takes up what another one left finds the note, also when the run is over
and nobody keeps its result. A relay's call to Redis is void once its lock on the rows may be.
"""

from worker.outbox.enqueue import OutsideTransactionError, enqueue_in, enqueue_many_in

__all__ = ["OutsideTransactionError", "enqueue_in", "enqueue_many_in"]
