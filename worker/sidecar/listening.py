"""Sockets on `HOST:PORT`, and what to change when they cannot be had."""

import errno
import socket
from contextlib import ExitStack

_BACKLOG = 128


class SidecarError(OSError):
    """The sidecar cannot listen; the sentence says which setting to change."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of `host`, all on one port (0: any that is free).

    For processes that share them: whoever accepts first answers. Raises SidecarError.
    """
    with ExitStack() as undo:
        sockets: list[socket.socket] = []
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(found):
                listening = _socket(family)
                if listening is None:
                    continue
                undo.enter_context(listening)
                listening.bind((address[0], port, *address[2:]))
                listening.listen(_BACKLOG)
                sockets.append(listening)
                port = port_of(listening)  # the others on the same
        except OSError as error:
            raise SidecarError(advice(host, port, error)) from error
        undo.pop_all()
        return sockets


def _socket(family: int) -> socket.socket | None:
    """None for a family that this machine does not speak, as asyncio has it."""
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def advice(host: str, port: int, error: OSError) -> str:
    """What to change so that the sidecar can listen."""
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is taken by another process: stop it, or set PORT to a free one"
    if error.errno == errno.EACCES:
        return f"not allowed to listen on {host}:{port}: set PORT to 1024 or more"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"{host!r} is no address of this machine: set HOST to 127.0.0.1 or 0.0.0.0"
    return f"cannot listen on {host}:{port} (HOST, PORT): {error.strerror or error}"
