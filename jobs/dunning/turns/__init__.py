"""Whose message a contact gets on a day."""
