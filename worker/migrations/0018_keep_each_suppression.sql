-- An address may be suppressed for several reasons, each of which is lifted by itself: that a mailbox
-- bounced says nothing of whether its reader wants more.

alter table suppressions add column suppression_id bigint generated always as identity;
alter table suppressions drop constraint suppressions_pkey;
alter table suppressions add primary key (tenant_id, channel, address, reason);
create unique index suppressions_by_id on suppressions (suppression_id);

-- What somebody wrote down with blanks around it was never found.
with written as (
    delete from suppressions where address <> btrim(address, E' \t\r\n')
    returning tenant_id, channel, address, reason, created_at
)
insert into suppressions (tenant_id, channel, address, reason, created_at)
select tenant_id, channel, btrim(address, E' \t\r\n'), reason, min(created_at)
  from written group by 1, 2, 3, 4
on conflict do nothing;
