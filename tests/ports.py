"""Ports for servers of tests."""

import socket


def free_port() -> int:
    """One that nobody listens on at this moment, on 127.0.0.1."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
