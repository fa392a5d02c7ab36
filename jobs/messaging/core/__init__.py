"""What messages decide without asking anybody."""
