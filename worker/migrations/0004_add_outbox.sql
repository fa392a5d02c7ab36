-- Runs that were enqueued inside a transaction: moved to Redis by the workers' relays, and kept
-- until they are over.

create table outbox (
    outbox_id       bigint generated always as identity primary key,
    run_id          text not null,
    job             text not null,
    queue           text not null,
    message         bytea not null,
    due_at          timestamptz,
    created_at      timestamptz not null default clock_timestamp(),
    -- When somebody has to look at the row next.
    look_at         timestamptz not null default clock_timestamp(),
    -- The data of Redis (`deskhand:epoch`) that has the run; null: it waits for a relay.
    epoch           text,
    enqueued_at     timestamptz,
    -- A worker has the run in hand, though Redis has lost it: it is left to that worker.
    held_until      timestamptz,
    -- Another request had led to the same run id already: this one is done when that run is.
    is_repeat       boolean not null default false,
    -- Since when Redis knows nothing of the run, though nobody told of its end.
    missing_at      timestamptz,
    -- Why it could not be enqueued, and how often.
    error           text,
    tries           integer not null default 0
);

create index outbox_waiting on outbox (look_at, outbox_id) where epoch is null;
create index outbox_enqueued on outbox (epoch, look_at)
 where epoch is not null and missing_at is null;
create index outbox_missing on outbox (queue, missing_at, outbox_id) where missing_at is not null;

-- Each row is written, changed and deleted within seconds.
alter table outbox set (
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_analyze_threshold = 5000
);
