-- Sequences of messages that nurture contacts, who is in them, and which steps each of these has had.

create table sequences (
    tenant_id           uuid not null references tenants on delete cascade,
    sequence_id         uuid not null,
    name                text not null,
    -- An inactive one takes nobody and sends nothing; those who are in it stay where they are.
    is_active           boolean not null default true,
    -- What ends it for a contact. Who unsubscribes has ended it whether this says so or not.
    exit_on             text[] not null
                        check (exit_on <@ array['reply', 'conversion', 'unsubscribe']),
    -- What its templates say besides the contact's own data: {"booking_url": "https://…"}.
    template_values     jsonb not null default '{}',
    -- Counts changes.
    version             integer not null default 1,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    primary key (tenant_id, sequence_id),
    unique (sequence_id),
    unique (tenant_id, name)
);

create table sequence_steps (
    tenant_id           uuid not null,
    sequence_id         uuid not null,
    -- The same over all changes: by it is known who has had the step.
    step_id             uuid not null,
    -- From 0; null: taken out, and may be put back.
    position            integer check (position >= 0),
    -- Since the step before, or the start.
    delay_seconds       bigint not null check (delay_seconds >= 0),
    channel             text not null check (channel in ('email', 'sms', 'preferred')),
    template            text not null,
    primary key (tenant_id, sequence_id, step_id),
    foreign key (tenant_id, sequence_id) references sequences on delete cascade
);

create unique index sequence_steps_in_order on sequence_steps (sequence_id, position)
 where position is not null;

-- A contact's way through a sequence.
create table enrolments (
    tenant_id           uuid not null,
    enrolment_id        uuid not null primary key,
    sequence_id         uuid not null,
    contact_id          uuid not null,
    state               text not null check (state in ('active', 'paused', 'completed', 'ended')),
    end_reason          text check ((end_reason is not null) = (state = 'ended')),
    started_at          timestamptz not null,
    ended_at            timestamptz check ((ended_at is not null) = (state in ('completed', 'ended'))),
    last_step_at        timestamptz,
    paused_at           timestamptz check ((paused_at is not null) = (state = 'paused')),
    -- From when the next step's delay counts: the last step or the start, and time paused since.
    counts_from         timestamptz not null,
    -- Of all runs for it only that of this turn does anything.
    turn                integer not null default 0,
    next_step_id        uuid,
    next_due_at         timestamptz,
    foreign key (tenant_id, sequence_id) references sequences on delete cascade,
    foreign key (tenant_id, contact_id) references contacts on delete cascade
);

create unique index enrolments_in_flight on enrolments (tenant_id, sequence_id, contact_id)
 where state in ('active', 'paused');
create index enrolments_to_plan on enrolments (sequence_id, enrolment_id)
 where state in ('active', 'paused');
create index enrolments_by_contact on enrolments (tenant_id, contact_id, started_at desc);

-- Without a reference to the step: that somebody has had one outlives the step.
create table enrolment_steps (
    enrolment_id        uuid not null references enrolments on delete cascade,
    step_id             uuid not null,
    state               text not null check (state in ('sent', 'skipped', 'suppressed')),
    at                  timestamptz not null,
    primary key (enrolment_id, step_id)
);
