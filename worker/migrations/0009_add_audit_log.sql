-- Who did what through API and console: written with the deed, never changed, kept for a while.

create table audit_log (
    audit_id        bigint generated always as identity primary key,
    at              timestamptz not null default now(),
    principal       text not null,
    role            text not null,
    credential      text not null,
    tenant_id       uuid,
    action          text not null,
    -- begun: what it did is not known (yet); refused: it was not even tried.
    outcome         text not null check (outcome in ('begun', 'done', 'failed', 'refused')),
    targets         text[] not null,
    filter          jsonb,
    affected        bigint,
    reason          text,
    error           text,
    ip              text not null,
    user_agent      text not null,
    request_id      text not null
);

create index audit_log_by_action on audit_log (action, audit_id);
create index audit_log_by_principal on audit_log (principal, audit_id);

create function keep_audit_log() returns trigger language plpgsql as $$
begin
    -- How what was begun has ended is all that is ever added.
    if tg_op = 'UPDATE' and old.outcome = 'begun' and new.outcome in ('done', 'failed')
       and to_jsonb(new) - array['outcome', 'affected', 'error']
         = to_jsonb(old) - array['outcome', 'affected', 'error'] then
        return new;
    end if;
    -- Retention says in its transaction how far back it forgets.
    if tg_op = 'DELETE'
       and old.at < nullif(current_setting('deskhand.forget_audit_before', true), '')::timestamptz
    then
        return old;
    end if;
    raise exception 'the audit log is append-only';
end
$$;

create trigger keep_audit_log before update or delete on audit_log
    for each row execute function keep_audit_log();
create trigger keep_whole_audit_log before truncate on audit_log
    for each statement execute function keep_audit_log();
