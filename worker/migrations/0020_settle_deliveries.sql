-- A message in doubt whose run is over, so that nobody finds out any more, ends in a word of its own.

alter table deliveries
    drop constraint deliveries_status_check,
    add constraint deliveries_status_check check (status in
        ('sending', 'sent', 'unconfirmed', 'doubtful', 'suppressed', 'rejected'));

create index deliveries_in_doubt on deliveries (claimed_at, message_id)
 where status in ('sending', 'unconfirmed');
create index deliveries_doubtful on deliveries (claimed_at) where status = 'doubtful';
