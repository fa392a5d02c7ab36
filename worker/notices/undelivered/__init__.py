"""Notices that came back: so that somebody sees to the mailbox."""
