"""The runtime: turns declared jobs into running ones; alone knows ARQ and Redis."""
