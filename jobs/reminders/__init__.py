"""Reminders of appointments, a day and some hours before."""
