-- What is due when, and what became of it: any worker fires what is due, in one transaction with the
-- run's row in the outbox. A tick is dealt with exactly when `next_due_at` has gone past it.

create table schedules (
    -- The job's name; `report:<id>` for what a tenant's people have set up.
    name            text primary key,
    job             text not null,
    kind            text not null check (kind in ('declared', 'report')),
    tenant_id       uuid references tenants on delete cascade,
    -- What its runs get beside `due_at`.
    payload         jsonb not null default '{}',
    -- A crontab line, `every <seconds>`, or `off`.
    line            text not null,
    tz              text not null,
    catch_up        text not null check (catch_up in ('latest', 'all', 'skip')),
    catch_up_window interval not null,
    may_overlap     boolean not null,
    -- From where an interval is counted.
    anchor_at       timestamptz not null,
    -- Null: never by itself.
    next_due_at     timestamptz,
    paused_at       timestamptz,
    paused_by       text,
    -- The run that was fired last; its row in the outbox is there until it is over.
    active_run_id   text,
    active_outbox_id bigint,
    -- Why it could not fire when it was due, and when somebody tries again.
    error           text,
    retry_at        timestamptz,
    -- Totals.
    fired           bigint not null default 0,
    succeeded       bigint not null default 0,
    failed          bigint not null default 0,
    missed          bigint not null default 0,
    last_success_at timestamptz,
    created_at      timestamptz not null default now(),
    -- When a worker said last that its code declares it.
    seen_at         timestamptz not null default now(),
    -- When one said so last whose code has these very times, and when the newest of those started.
    said_at         timestamptz not null default now(),
    said_since      timestamptz not null default 'epoch'
);

create index schedules_due on schedules (next_due_at) where paused_at is null;
create index schedules_by_tenant on schedules (tenant_id, name) where tenant_id is not null;

-- The newest of each schedule. One that was started by hand has no tick, but an instant all the same.
create table schedule_ticks (
    tick_id         bigint generated always as identity primary key,
    schedule        text not null references schedules (name) on delete cascade,
    due_at          timestamptz not null,
    fired_at        timestamptz not null,
    run_id          text not null,
    is_by_hand      boolean not null default false,
    fired_by        text,
    -- Ticks before this one that nobody fired.
    missed          integer not null default 0,
    -- How its run went: null until an attempt is over.
    state           text,
    attempt         integer,
    started_at      timestamptz,
    ended_at        timestamptz,
    error_type      text,
    result          jsonb
);

create unique index schedule_ticks_once on schedule_ticks (schedule, due_at) where not is_by_hand;
create index schedule_ticks_by_schedule on schedule_ticks (schedule, tick_id desc);
create unique index schedule_ticks_by_run on schedule_ticks (run_id);
create index schedule_ticks_open on schedule_ticks (fired_at)
 where state is null or state in ('retrying', 'snoozed', 'released');

-- Reports that a tenant's people want again and again.
create table report_schedules (
    report_schedule_id uuid primary key,
    tenant_id       uuid not null references tenants on delete cascade,
    name            text not null,
    report_type     text not null,
    format          text not null,
    language        text not null,
    period          text not null check (period in ('day', 'week', 'month')),
    recipients      text[] not null,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now()
);

create index report_schedules_by_tenant on report_schedules (tenant_id, report_schedule_id);
