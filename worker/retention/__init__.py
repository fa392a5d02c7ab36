"""Forgets old runs: of each queue the newest stay, and nothing stays for ever. Old messages, too.

One worker at a time does it, a minute apart, in transactions of bounded size. What is locked or
left over is found by the next pass.
"""

from worker.retention.chore import Gone, Keep, Retention, prune

__all__ = ["Gone", "Keep", "Retention", "prune"]
