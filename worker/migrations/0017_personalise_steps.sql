-- The opening of a step's mail may be said in other words, where there is a language model.

alter table sequence_steps add column personalise boolean not null default false;
