"""What is kept of messages: that they left, who answered, who is through a sequence, ways out."""
