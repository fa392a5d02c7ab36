"""What the mails to users decide: which opportunities, which changes, which week."""
