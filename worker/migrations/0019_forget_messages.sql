-- What messages leave behind goes by age (KEEP_MESSAGES_DAYS, KEEP_UNSUBSCRIBE_DAYS).

create index deliveries_by_age on deliveries (claimed_at)
 where channel <> 'sms' and status in ('sent', 'suppressed', 'rejected');
create index deliveries_of_sms_by_age on deliveries (claimed_at)
 where channel = 'sms' and status in ('sent', 'suppressed', 'rejected');
create index contact_replies_by_age on contact_replies (replied_at);
create index enrolments_by_end on enrolments (ended_at) where state in ('completed', 'ended');

-- When a mail last had it, to the day.
alter table unsubscribe_links add column shown_at timestamptz not null default now();
create index unsubscribe_links_by_age on unsubscribe_links (shown_at);
