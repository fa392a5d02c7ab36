-- Offers that a tenant's people work on, and what became of them; and who has been welcomed.

alter table users add column welcomed_at timestamptz;

create table proposals (
    tenant_id           uuid not null references tenants on delete cascade,
    proposal_id         uuid not null,
    title               text not null,
    status              text not null default 'draft'
                            check (status in ('draft', 'in_progress', 'in_review', 'approved',
                                              'submitted', 'won', 'lost', 'withdrawn')),
    -- When the offer has to be there: an instant, or only a day.
    due_at              timestamptz,
    due_on              date,
    -- The notice that it answers; that may be gone.
    notice_id           text,
    -- Its page, for links in mails.
    url                 text,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    primary key (tenant_id, proposal_id)
);

create index proposals_by_creation on proposals (tenant_id, created_at);

-- The people of a proposal: they hear of its changes.
create table proposal_members (
    tenant_id           uuid not null,
    proposal_id         uuid not null,
    user_id             uuid not null references users on delete cascade,
    primary key (tenant_id, proposal_id, user_id),
    foreign key (tenant_id, proposal_id) references proposals on delete cascade
);

create index proposal_members_by_user on proposal_members (user_id);

-- Each time that a status became another. Written with it, in one transaction.
create table proposal_changes (
    tenant_id           uuid not null,
    change_id           uuid not null,
    proposal_id         uuid not null,
    -- Null: the proposal began with `to_status`.
    from_status         text,
    to_status           text not null,
    -- Null: nobody of the users, or somebody who is gone.
    changed_by          uuid references users on delete set null,
    changed_at          timestamptz not null default now(),
    primary key (tenant_id, change_id),
    foreign key (tenant_id, proposal_id) references proposals on delete cascade
);

create index proposal_changes_by_proposal on proposal_changes (tenant_id, proposal_id, changed_at);
create index proposal_changes_by_time on proposal_changes (tenant_id, changed_at);
create index proposal_changes_by_user on proposal_changes (changed_by) where changed_by is not null;
