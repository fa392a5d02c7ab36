-- The lines that an attempt logged: the last ones, redacted.

alter table job_attempts add column log text;
