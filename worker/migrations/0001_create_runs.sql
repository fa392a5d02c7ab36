-- What happened to each run, and what could not be done: written by the ledger, read by people.

create table job_runs (
    run_id          text primary key,
    job             text not null,
    queue           text not null,
    tenant_id       uuid,
    state           text not null check (state in
                        ('retrying', 'snoozed', 'released', 'succeeded', 'cancelled', 'dead')),
    label           text,
    correlation_id  text not null,
    replay_of       text,
    attempt         integer not null,
    enqueued_at     timestamptz not null,
    started_at      timestamptz,
    finished_at     timestamptz,
    reason          text,
    event_id        text not null
);

create index job_runs_by_queue_state on job_runs (queue, state, finished_at desc);
create index job_runs_by_tenant on job_runs (tenant_id, finished_at desc) where tenant_id is not null;
create index job_runs_by_correlation on job_runs (correlation_id);

-- One row per start: a snoozed or interrupted one has an outcome too, but spends no attempt.
create table job_attempts (
    event_id        text primary key,
    run_id          text not null,
    attempt         integer not null,
    outcome         text not null,
    started_at      timestamptz not null,
    ended_at        timestamptz not null,
    worker          text not null,
    error_type      text,
    error_message   text,
    traceback       text
);

create index job_attempts_by_run on job_attempts (run_id, started_at);

create table dead_letters (
    dead_letter_id  bigint generated always as identity primary key,
    event_id        text not null unique,
    run_id          text not null,
    job             text not null,
    queue           text not null,
    tenant_id       uuid,
    payload         jsonb,
    raw             bytea,
    correlation_id  text not null,
    reason          text not null,
    error_type      text,
    error_message   text,
    attempt         integer not null,
    enqueued_at     timestamptz not null,
    died_at         timestamptz not null,
    status          text not null default 'dead' check (status in ('dead', 'replayed', 'discarded')),
    replayed_as     text,
    discarded_because text,
    handled_at      timestamptz
);

create index dead_letters_waiting on dead_letters (queue, died_at desc) where status = 'dead';
create index dead_letters_by_run on dead_letters (run_id);

-- One row per message that left the house, or was about to.
create table deliveries (
    tenant_id       uuid not null,
    key             text not null,
    recipient       text not null,
    channel         text not null check (channel in ('email', 'sms', 'sftp', 'webhook')),
    template        text not null,
    provider        text not null,
    status          text not null check (status in
                        ('sending', 'sent', 'unconfirmed', 'suppressed', 'rejected')),
    message_id      text not null,
    provider_id     text,
    run_id          text not null,
    claimed_at      timestamptz not null,
    sent_at         timestamptz,
    primary key (tenant_id, key, recipient)
);

create index deliveries_by_run on deliveries (run_id);

-- Whoever must not be written to. Addresses in lower case.
create table suppressions (
    tenant_id       uuid not null,
    channel         text not null check (channel in ('email', 'sms')),
    address         text not null check (address = lower(address)),
    reason          text not null,
    created_at      timestamptz not null default now(),
    primary key (tenant_id, channel, address)
);
