"""The outside: one file per service; knows neither jobs nor the database."""
