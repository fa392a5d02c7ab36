-- Dead letters by the hundred thousand: which are alike, how many, and pages of them in no time.
--
-- The database itself puts letters into groups and counts them, so that it makes no difference
-- which version of a worker writes them. Letters from before are put into theirs page by page, by
-- the workers' own chore: here that would lock the table for as long as it takes.

-- A page of any filter is the beginning of one of these. (Foreign names may be of any length, index
-- entries not.)
create index dead_letters_by_age on dead_letters (status, died_at, dead_letter_id);
create index dead_letters_by_job on dead_letters (left(job, 200), status, died_at, dead_letter_id);
create index dead_letters_by_reason on dead_letters (reason, status, died_at, dead_letter_id);
create index dead_letters_by_error on dead_letters
 (left(error_type, 200), status, died_at, dead_letter_id);
create index dead_letters_by_tenant on dead_letters (tenant_id, status, died_at, dead_letter_id)
 where tenant_id is not null;

-- Where PostgreSQL has the means (they come with it, but not everywhere), texts are found by index.
do $$
begin
    create extension if not exists pg_trgm;
    create index dead_letters_by_text on dead_letters using gin (error_message gin_trgm_ops);
exception when others then
    raise notice 'a text in error messages is searched for without an index: %', sqlerrm;
end
$$;

-- An error's message without what differs from one run to the next.
create function dead_letter_template(message text) returns text
language sql immutable parallel safe as $$
select regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(
    left(message, 1000),
    -- quoted text, but not from one apostrophe inside a word to the next
    '"[^"]*"|`[^`]*`|“[^”]*”|«[^»]*»|(?<![[:alnum:]])''[^'']*''(?![[:alnum:]])', '<text>', 'g'),
    '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '<uuid>', 'gi'),
    -- addresses, digests, random ids
    '\m(0x[0-9a-f]+|(?=[a-f]*[0-9])[0-9a-f]{12,})\M', '<hex>', 'gi'),
    '[0-9]+([.,:][0-9]+)*', '<n>', 'g'),
    '\s+', ' ', 'g')
$$;

create function dead_letter_group(job text, error_type text, message text) returns text
language sql immutable parallel safe as $$
select left(encode(sha256(convert_to(
    job || E'\n' || coalesce(error_type, '') || E'\n'
        || coalesce(dead_letter_template(message), ''), 'UTF8')), 'hex'), 16)
$$;

create function group_dead_letter() returns trigger language plpgsql as $$
begin
    new.error_group := dead_letter_group(new.job, new.error_type, new.error_message);
    return new;
end
$$;

-- How many letters there are of each kind: to count a million takes longer than anybody waits.
create table dead_letter_groups (
    error_group     text not null,
    status          text not null,
    queue           text not null,
    reason          text not null,
    job             text not null,
    error_type      text,
    template        text,
    letters         bigint not null,
    primary key (error_group, status, queue, reason)
);

-- All of them change counts in one order of keys: so two writers never wait for each other.
create function count_new_dead_letters() returns trigger language plpgsql as $$
begin
    insert into dead_letter_groups as known
           (error_group, status, queue, reason, job, error_type, template, letters)
    select error_group, status, queue, reason, min(job), min(error_type),
           dead_letter_template(min(error_message)), count(*)
      from new_letters where error_group is not null
     group by error_group, status, queue, reason
     order by error_group, status, queue, reason
        on conflict (error_group, status, queue, reason) do update
       set letters = known.letters + excluded.letters;
    return null;
end
$$;

create function count_changed_dead_letters() returns trigger language plpgsql as $$
begin
    insert into dead_letter_groups as known
           (error_group, status, queue, reason, job, error_type, template, letters)
    select error_group, status, queue, reason, min(job), min(error_type),
           dead_letter_template(min(error_message)), sum(change)
      from (select error_group, status, queue, reason, job, error_type, error_message, 1 as change
              from new_letters
             union all
            select error_group, status, queue, reason, job, error_type, error_message, -1
              from old_letters) as changes
     where error_group is not null
     group by error_group, status, queue, reason
    having sum(change) <> 0
     order by error_group, status, queue, reason
        on conflict (error_group, status, queue, reason) do update
       set letters = known.letters + excluded.letters;
    delete from dead_letter_groups as known
     using (select distinct error_group, status from old_letters) as gone
     where known.error_group = gone.error_group and known.status = gone.status
       and known.letters = 0;
    return null;
end
$$;

create function count_gone_dead_letters() returns trigger language plpgsql as $$
begin
    insert into dead_letter_groups as known
           (error_group, status, queue, reason, job, error_type, template, letters)
    select error_group, status, queue, reason, min(job), min(error_type),
           dead_letter_template(min(error_message)), -count(*)
      from old_letters where error_group is not null
     group by error_group, status, queue, reason
     order by error_group, status, queue, reason
        on conflict (error_group, status, queue, reason) do update
       set letters = known.letters + excluded.letters;
    delete from dead_letter_groups as known
     using (select distinct error_group, status from old_letters) as gone
     where known.error_group = gone.error_group and known.status = gone.status
       and known.letters = 0;
    return null;
end
$$;

create function count_no_dead_letters() returns trigger language plpgsql as $$
begin
    delete from dead_letter_groups;
    return null;
end
$$;

-- Last, because from here on also readers wait.
alter table dead_letters
    -- What came with the run beside its payload (trace, label …), for its replay.
    add column headers jsonb,
    -- Null only for letters from before, and for those not for long.
    add column error_group text;

create index dead_letters_by_group on dead_letters (error_group, status, died_at, dead_letter_id);
create index dead_letters_ungrouped on dead_letters (dead_letter_id) where error_group is null;

create trigger group_dead_letter before insert on dead_letters
    for each row execute function group_dead_letter();
create trigger count_new_dead_letters after insert on dead_letters
    referencing new table as new_letters
    for each statement execute function count_new_dead_letters();
create trigger count_changed_dead_letters after update on dead_letters
    referencing old table as old_letters new table as new_letters
    for each statement execute function count_changed_dead_letters();
create trigger count_gone_dead_letters after delete on dead_letters
    referencing old table as old_letters
    for each statement execute function count_gone_dead_letters();
create trigger count_no_dead_letters after truncate on dead_letters
    for each statement execute function count_no_dead_letters();
