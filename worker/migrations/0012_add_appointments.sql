-- Appointments of tenants' customers, what they are about, and how far reminders have come.

create table stores (
    tenant_id           uuid not null references tenants on delete cascade,
    store_id            uuid not null,
    name                text not null,
    address             text,
    phone               text,
    -- Null: its appointments are told in the contact's.
    timezone            text,
    primary key (tenant_id, store_id)
);

create table services (
    tenant_id           uuid not null references tenants on delete cascade,
    service_id          uuid not null,
    name                text not null,
    primary key (tenant_id, service_id)
);

create table pets (
    tenant_id           uuid not null,
    pet_id              uuid not null,
    contact_id          uuid not null,
    name                text not null,
    primary key (tenant_id, pet_id),
    foreign key (tenant_id, contact_id) references contacts on delete cascade
);

create index pets_by_contact on pets (tenant_id, contact_id);

create table appointments (
    tenant_id           uuid not null references tenants on delete cascade,
    appointment_id      uuid not null,
    contact_id          uuid not null,
    pet_id              uuid,
    service_id          uuid,
    store_id            uuid,
    starts_at           timestamptz not null,
    ends_at             timestamptz not null check (ends_at > starts_at),
    status              text not null default 'requested'
                        check (status in ('requested', 'confirmed', 'cancelled', 'done')),
    -- Whose wall clock it is told by; null: the store's, else the contact's.
    timezone            text,
    -- When the first message of this kind left, for this start.
    reminder_24h_sent_at timestamptz,
    reminder_3h_sent_at timestamptz,
    -- Of the invitation (RFC 5545): calendars take the highest.
    sequence            integer not null default 0 check (sequence >= 0),
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    primary key (tenant_id, appointment_id),
    foreign key (tenant_id, contact_id) references contacts on delete cascade,
    foreign key (tenant_id, pet_id) references pets,
    foreign key (tenant_id, service_id) references services,
    foreign key (tenant_id, store_id) references stores
);

-- In the order in which they are scanned.
create index appointments_to_come on appointments (starts_at, tenant_id, appointment_id)
 where status = 'confirmed';
create index appointments_by_contact on appointments (tenant_id, contact_id, starts_at);
create index appointments_by_pet on appointments (tenant_id, pet_id) where pet_id is not null;
create index appointments_by_service on appointments (tenant_id, service_id)
 where service_id is not null;
create index appointments_by_store on appointments (tenant_id, store_id, starts_at)
 where store_id is not null;

-- Whoever moves an appointment need not know of reminders: those of the old start count no more.
create function appointment_changed() returns trigger language plpgsql as $$
begin
    if new.starts_at <> old.starts_at then
        new.reminder_24h_sent_at := null;
        new.reminder_3h_sent_at := null;
    end if;
    if (new.starts_at, new.ends_at, new.store_id, new.status = 'cancelled')
       is distinct from (old.starts_at, old.ends_at, old.store_id, old.status = 'cancelled') then
        new.sequence := old.sequence + 1;
    end if;
    new.updated_at := now();
    return new;
end
$$;

create trigger appointment_changed before update on appointments
   for each row execute function appointment_changed();

-- Up to where appointments have been looked through: this start, and the ids behind it.
create table reminder_scans (
    reminder_type       text primary key check (reminder_type in ('24h', '3h')),
    scanned_until       timestamptz not null,
    tenant_id           uuid not null default '00000000-0000-0000-0000-000000000000',
    appointment_id      uuid not null default '00000000-0000-0000-0000-000000000000'
);
