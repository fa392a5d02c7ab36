-- Runs by the million: pages of any filter, and texts in payloads, in no time.
--
-- What a run did last is when it finished, or else when it last started. A page is the beginning of
-- one of these indexes for each state, whatever the filter leaves open: the pages of all states are
-- merged. (Foreign names may be of any length, index entries not.) While they are made the ledger
-- waits, and readers do not.
create index job_runs_by_age on job_runs
 (state, coalesce(finished_at, started_at, enqueued_at), run_id);
create index job_runs_of_queue on job_runs
 (queue, state, coalesce(finished_at, started_at, enqueued_at), run_id);
create index job_runs_of_job on job_runs
 (left(job, 200), state, coalesce(finished_at, started_at, enqueued_at), run_id);
create index job_runs_of_tenant on job_runs
 (tenant_id, state, coalesce(finished_at, started_at, enqueued_at), run_id) where tenant_id is not null;
create index job_runs_of_tenants_job on job_runs
 (tenant_id, left(job, 200), state, coalesce(finished_at, started_at, enqueued_at), run_id)
 where tenant_id is not null;
create index job_runs_of_request on job_runs
 (left(correlation_id, 200), state, coalesce(finished_at, started_at, enqueued_at), run_id);
create index job_runs_of_label on job_runs
 (left(label, 200), state, coalesce(finished_at, started_at, enqueued_at), run_id) where label is not null;

-- To look at one that is to come due in some days.
create index outbox_by_run on outbox (run_id) where epoch is null and due_at is not null;

-- Last, because from here on also readers wait.
drop index job_runs_by_queue_state, job_runs_by_tenant, job_runs_by_correlation;

-- JSON, bounded and without what is sensitive: worker/kept_payload.py. As text, because that is what
-- is searched, and jsonb knows no NUL. Runs of older workers have none.
alter table job_runs add column payload text;

do $$
begin
    create extension if not exists pg_trgm;
    create index job_runs_by_text on job_runs using gin (payload gin_trgm_ops);
exception when others then
    raise notice 'a text in payloads is searched for without an index: %', sqlerrm;
end
$$;

-- What ended in each minute, added up by all workers (worker/rates); kept for 7 days.
create table run_minutes (
    minute          timestamptz not null,
    queue           text not null,
    job             text not null,
    outcome         text not null,
    attempts        bigint not null,
    -- Milliseconds; the arrays count how many were in each step (worker/rates/tally.py).
    wait_ms         double precision not null,
    longest_wait_ms double precision not null,
    waits           bigint[] not null,
    duration_ms     double precision not null,
    longest_duration_ms double precision not null,
    durations       bigint[] not null,
    primary key (minute, queue, job, outcome)
);

-- The newest part that each worker has added, so that none is added twice.
create table run_minute_writers (
    writer          text primary key,
    serial          bigint not null,
    written_at      timestamptz not null default now()
);
