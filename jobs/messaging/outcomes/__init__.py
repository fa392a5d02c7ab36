"""What becomes of messages: everything that providers tell, and that people reply."""
