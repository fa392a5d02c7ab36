"""Who is not to be asked for money."""
