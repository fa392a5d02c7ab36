-- Who answered what was written to them: sequences end with a reply.
create table contact_replies (
    tenant_id           uuid not null,
    contact_id          uuid not null,
    channel             text not null check (channel in ('email', 'sms')),
    replied_at          timestamptz not null,
    primary key (tenant_id, contact_id, channel, replied_at),
    foreign key (tenant_id, contact_id) references contacts on delete cascade
);

-- A provider tells the number of whoever replied, and contacts have it as somebody wrote it: the
-- last digits find the few that it may be.
create index contacts_by_last_digits
    on contacts (right(regexp_replace(phone, '\D', '', 'g'), 7)) where phone is not null;

create index messaging_profiles_by_sms_from on messaging_profiles (sms_from)
 where sms_from is not null;
