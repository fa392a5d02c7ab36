"""The work: one folder per domain, one file per job, each registers itself."""
