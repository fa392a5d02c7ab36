-- Tenants, their people, and the government contract notices that they follow.

create table tenants (
    tenant_id       uuid primary key,
    name            text not null,
    locale          text not null default 'en' check (locale in ('en', 'tr')),
    timezone        text not null default 'UTC',
    created_at      timestamptz not null default now()
);

create table users (
    user_id         uuid primary key,
    tenant_id       uuid not null references tenants on delete cascade,
    email           text not null,
    full_name       text not null,
    locale          text not null default 'en' check (locale in ('en', 'tr')),
    timezone        text not null default 'UTC',
    unsubscribe_token uuid not null unique default gen_random_uuid(),
    created_at      timestamptz not null default now()
);

create index users_by_tenant on users (tenant_id);

-- One row per notice version (SAM.gov: noticeId). A deadline is an instant, or only a day.
create table opportunities (
    tenant_id           uuid not null references tenants on delete cascade,
    notice_id           text not null,
    solicitation_number text,
    title               text not null,
    notice_type         text not null,
    base_type           text,
    department          text,
    sub_tier            text,
    office              text,
    posted_on           date not null,
    response_due_at     timestamptz,
    response_due_on     date,
    archive_on          date,
    set_aside_code      text,
    set_aside           text,
    naics_codes         text[] not null default '{}',
    classification_code text,
    is_active           boolean not null,
    award_amount        numeric(18, 2),
    award_currency      text,
    award_number        text,
    award_on            date,
    awardee_name        text,
    awardee_uei         text,
    place_city          text,
    place_state         text,
    place_country       text,
    contacts            jsonb not null default '[]',
    description_url     text,
    ui_url              text,
    resource_urls       text[] not null default '{}',
    content_sha256      text not null,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    primary key (tenant_id, notice_id)
);

create index opportunities_by_posted on opportunities (tenant_id, posted_on, notice_id);
create index opportunities_by_due on opportunities (tenant_id, response_due_at) where is_active;
