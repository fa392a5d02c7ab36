-- Invoices that tenants wait for, how they ask to be paid, and whom they have asked.

-- In which currency an amount is that comes without one; null: the country's.
alter table messaging_profiles
    add column currency char(3) check (currency ~ '^[A-Z]{3}$');

create table invoices (
    tenant_id           uuid not null references tenants on delete cascade,
    invoice_id          uuid not null,
    contact_id          uuid not null,
    number              text not null,
    -- NaN is larger than everything here.
    amount              numeric(18, 4) not null check (amount > 0 and amount <> 'NaN'),
    currency            char(3) not null check (currency ~ '^[A-Z]{3}$'),
    paid_amount         numeric(18, 4) not null default 0
                        check (paid_amount >= 0 and paid_amount <> 'NaN'),
    issued_on           date not null,
    due_on              date not null,
    state               text not null default 'open'
                        check (state in ('open', 'paid', 'disputed', 'void')),
    -- To a host of messaging_profiles.payment_hosts; null: it is paid as the invoice says.
    payment_link        text,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    primary key (tenant_id, invoice_id),
    foreign key (tenant_id, contact_id) references contacts
);

-- The daily search goes from contact to contact, for one reminder each.
create index invoices_open on invoices (tenant_id, contact_id, due_on, invoice_id)
 where state = 'open';
create index invoices_by_contact on invoices (tenant_id, contact_id);

-- How a tenant asks, the longer the more firmly. Without rows: as jobs/dunning/core/stages.py says.
create table dunning_stages (
    tenant_id           uuid not null references tenants on delete cascade,
    position            integer not null check (position between 1 and 20),
    days_overdue        integer not null check (days_overdue >= 1),
    tone                text not null check (tone in ('friendly', 'firm', 'final')),
    channels            text[] not null
                        check (channels <@ array['email', 'sms'] and cardinality(channels) > 0),
    -- A fixed fee, for invoices in its currency alone, or percent of what is open; or none.
    fee_amount          numeric(18, 4) check (fee_amount > 0 and fee_amount <> 'NaN'),
    fee_currency        char(3) check (fee_currency ~ '^[A-Z]{3}$'),
    fee_percent         numeric(6, 3) check (fee_percent > 0 and fee_percent <= 100),
    primary key (tenant_id, position),
    unique (tenant_id, days_overdue),
    check ((fee_amount is null) = (fee_currency is null)),
    check (fee_amount is null or fee_percent is null)
);

-- Reminders that left. A row is written in the transaction that says so of the first message.
create table dunning_notices (
    tenant_id           uuid not null,
    invoice_id          uuid not null,
    position            integer not null,
    contact_id          uuid not null,
    -- The tenant's calendar.
    sent_on             date not null,
    channels            text[] not null,
    -- In the invoice's currency.
    fee                 numeric(18, 4) not null check (fee >= 0 and fee <> 'NaN'),
    primary key (tenant_id, invoice_id, position),
    -- Never two a day, whatever they are about.
    unique (tenant_id, contact_id, sent_on),
    foreign key (tenant_id, invoice_id) references invoices on delete cascade
);

-- Who was asked last, when and for what; taken before a message leaves, so that of two runs that
-- want to write to somebody on one day one does.
create table dunning_turns (
    tenant_id           uuid not null,
    contact_id          uuid not null,
    day                 date not null,
    key                 text not null,
    -- By which it left already; of invoices dunning_notices knows.
    channels            text[] not null default '{}',
    primary key (tenant_id, contact_id),
    foreign key (tenant_id, contact_id) references contacts on delete cascade
);

-- Who is not to be asked: for a while, or until somebody starts it anew.
create table dunning_holds (
    tenant_id           uuid not null,
    contact_id          uuid not null,
    state               text not null check (state in ('paused', 'stopped')),
    reason              text,
    since               timestamptz not null,
    -- The first day on which it goes on, in the tenant's calendar; null: when it is resumed.
    until               date check (until is null or state = 'paused'),
    primary key (tenant_id, contact_id),
    foreign key (tenant_id, contact_id) references contacts on delete cascade
);
