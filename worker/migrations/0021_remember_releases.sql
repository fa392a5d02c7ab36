-- Who wants no more, and then again, is told in any order: the later of the two is what they want. So
-- it is remembered when a reason was last lifted, and a wish that is older than that sets none.

create table suppression_releases (
    tenant_id       uuid not null,
    channel         text not null check (channel in ('email', 'sms')),
    address         text not null check (address = lower(address)),
    reason          text not null,
    released_at     timestamptz not null,
    primary key (tenant_id, channel, address, reason)
);

-- They go by age (KEEP_MESSAGES_DAYS); and somebody may ask what is kept of them.
create index suppression_releases_by_age on suppression_releases (released_at);
create index suppression_releases_by_address on suppression_releases (address);

-- Nothing looks for contacts by their address.
drop index contacts_by_email;
