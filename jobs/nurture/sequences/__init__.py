"""Sequences as people write them: their steps, what ends them, and changing them in flight."""
