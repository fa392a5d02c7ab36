-- Whom tenants write to besides their users, how they want to be seen, and what became of each message.

create table contacts (
    tenant_id           uuid not null references tenants on delete cascade,
    contact_id          uuid not null,
    full_name           text not null,
    email               text,
    -- As somebody wrote it; messaging_profiles.country says how it is read.
    phone               text,
    locale              text not null default 'en' check (locale in ('en', 'tr')),
    timezone            text not null default 'UTC',
    -- What they agreed to, by matter and channel.
    reminders_by_email  boolean not null default false,
    reminders_by_sms    boolean not null default false,
    marketing_by_email  boolean not null default false,
    marketing_by_sms    boolean not null default false,
    -- Null: each channel they agreed to.
    preferred_channel   text check (preferred_channel in ('email', 'sms')),
    created_at          timestamptz not null default now(),
    primary key (tenant_id, contact_id)
);

create index contacts_by_email on contacts (tenant_id, lower(email)) where email is not null;
create index contacts_by_phone on contacts (tenant_id, phone) where phone is not null;

-- How a tenant is seen by those it writes to. Without a row: as the defaults say.
create table messaging_profiles (
    tenant_id           uuid primary key references tenants on delete cascade,
    -- `address` or `Name <address>`; null: EMAIL_FROM with the tenant's name.
    email_from          text,
    reply_to            text,
    -- A number in E.164, a short code or a name; null: the setting's.
    sms_from            text,
    -- Whose telephone numbers those without a country code are (ISO 3166).
    country             char(2) not null default 'US' check (country ~ '^[A-Z]{2}$'),
    postal_address      text,
    -- Of buttons and links: #rrggbb.
    accent              text check (accent ~ '^#[0-9a-f]{6}$'),
    -- When nobody's telephone is to ring, where they live.
    quiet_from          time not null default '21:00',
    quiet_to            time not null default '08:00',
    -- May ş be sent as s, so that an SMS needs fewer segments?
    transliterates_sms  boolean not null default false,
    -- Hosts that payment links may lead to.
    payment_hosts       text[] not null default '{}'
);

-- A tenant's own words in the place of the product's. Versions are only ever added.
create table message_templates (
    tenant_id           uuid not null references tenants on delete cascade,
    name                text not null,
    language            text not null check (language in ('en', 'tr')),
    channel             text not null check (channel in ('email', 'sms')),
    version             integer not null check (version > 0),
    subject             text,
    text                text,
    html                text,
    is_active           boolean not null,
    created_at          timestamptz not null default now(),
    created_by          text not null,
    primary key (tenant_id, name, language, channel, version)
);

create unique index message_templates_active
    on message_templates (tenant_id, name, language, channel) where is_active;

-- The way out for an address that belongs to no user.
create table unsubscribe_links (
    token               uuid primary key default gen_random_uuid(),
    tenant_id           uuid not null references tenants on delete cascade,
    address             text not null check (address = lower(address)),
    locale              text not null check (locale in ('en', 'tr')),
    created_at          timestamptz not null default now(),
    unique (tenant_id, address)
);

alter table deliveries
    add column template_version text,
    -- What the provider told later: null while it has told nothing that matters.
    add column outcome text check (outcome in ('deferred', 'delivered', 'bounced', 'dropped',
                                               'failed', 'complained', 'unsubscribed')),
    add column outcome_at timestamptz,
    add column outcome_code text;

create index deliveries_by_message on deliveries (message_id);
create index deliveries_by_provider_id on deliveries (provider, provider_id)
 where provider_id is not null;

-- What went to a telephone lately: a reply is about one of these.
create index deliveries_by_number on deliveries (recipient, claimed_at) where channel = 'sms';

-- Events of providers that have been dealt with: they come twice, and in any order.
create table delivery_events (
    provider            text not null,
    event_id            text not null,
    received_at         timestamptz not null default now(),
    primary key (provider, event_id)
);

create index delivery_events_by_age on delivery_events (received_at);
