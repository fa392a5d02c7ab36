"""Sequences of messages to a tenant's contacts, step after step, until they answer or buy."""
