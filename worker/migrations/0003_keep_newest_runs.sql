-- A run whose time was over before it started ends as `expired`; and of each queue the newest runs
-- are kept: an index for each kind of run that is counted, with `run_id` to tell instants apart.

alter table job_runs drop constraint job_runs_state_check;
alter table job_runs add constraint job_runs_state_check check (state in
    ('retrying', 'snoozed', 'released', 'succeeded', 'cancelled', 'dead', 'expired'));

create index job_runs_completed on job_runs (queue, finished_at, run_id)
 where state in ('succeeded', 'cancelled', 'expired');
create index job_runs_failed on job_runs (queue, finished_at, run_id) where state = 'dead';
create index job_runs_unfinished on job_runs (queue, started_at, run_id)
 where state in ('retrying', 'snoozed', 'released');

-- A run that is put off for months leaves attempts behind that are older than it.
create index job_attempts_by_age on job_attempts (ended_at);

drop index dead_letters_waiting;
create index dead_letters_waiting on dead_letters (queue, died_at, dead_letter_id)
 where status = 'dead';
create index dead_letters_handled on dead_letters (queue, handled_at, dead_letter_id)
 where status <> 'dead';
