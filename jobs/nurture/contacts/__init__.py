"""Contacts as a sequence sees them: their addresses, what they agreed to, who wants no more."""
