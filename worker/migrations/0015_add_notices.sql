-- What admins are told of: failures that repeat, queues that grow, queues that nobody serves.

-- Failed attempts by the minute in which they ended, written with the attempts: each counts once.
create table failure_minutes (
    minute          timestamptz not null,
    job             text not null,
    error_type      text not null,
    queue           text not null,
    failures        bigint not null,
    -- Of these: runs that were given up on, and runs of schedules among those.
    dead            bigint not null,
    scheduled       bigint not null,
    first_at        timestamptz not null,
    last_at         timestamptz not null,
    -- Some of the newest.
    run_ids         text[] not null,
    -- What of it has been looked at.
    seen            bigint not null default 0,
    seen_dead       bigint not null default 0,
    seen_scheduled  bigint not null default 0,
    primary key (minute, job, error_type)
);

create index failure_minutes_unseen on failure_minutes (minute, job, error_type)
 where failures > seen;
create index failure_minutes_by_kind on failure_minutes (job, error_type, minute);

create table notices (
    notice_id       bigint generated always as identity primary key,
    kind            text not null check (kind in ('failures', 'waiting', 'unserved')),
    -- What it is about: the queue, or job and error together. One at a time is open.
    subject         text not null,
    queue           text,
    job             text,
    error_type      text,
    -- Failures since it opened, or runs that wait; the threshold that this went over.
    count           bigint not null,
    most            bigint not null,
    dead            bigint not null default 0,
    threshold       bigint not null,
    -- A schedule's runs fail: only a run that succeeds says that they do no more.
    is_scheduled    boolean not null default false,
    run_ids         text[] not null default '{}',
    first_at        timestamptz not null,
    last_at         timestamptz not null,
    -- How many looks in a row found it so before it opened, and when one last did.
    looks           integer not null default 1,
    noted_at        timestamptz not null,
    -- Null: so far it is but suspected.
    opened_at       timestamptz,
    closed_at       timestamptz,
    -- How often it was told, when, at which count, and when it may be told again.
    edition         integer not null default 0,
    told_at         timestamptz,
    told_count      bigint not null default 0,
    tell_at         timestamptz
);

create unique index notices_open on notices (kind, subject) where closed_at is null;
create index notices_closed on notices (closed_at) where closed_at is not null;

-- When some worker last looked: so that they take turns.
create table notice_looks (
    what            text primary key,
    looked_at       timestamptz not null
);
