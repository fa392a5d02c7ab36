"""Who gets nothing more, by which channel and why."""
