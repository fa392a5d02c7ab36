"""What dunning decides without asking anybody."""
