"""The numbers of a week."""
