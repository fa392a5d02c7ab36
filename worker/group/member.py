"""One process of a group, as it sees itself: which one it is, and who tells it to stop."""

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# What the two ends of a channel say; the end of the channel itself is the supervisor's.
DRAIN, HURRY, READY = b"d", b"h", b"r"
_ABANDONED = 70  # EX_SOFTWARE of sysexits.h
_PATIENCE = 20.0  # seconds beyond the grace, to tell Redis and PostgreSQL how it ended


class Ordered(Protocol):
    """A worker, for whoever orders it about from another thread."""

    def order(self, *, hurry: bool) -> None:
        """Drain, or at once. From any thread, at any time, any number of times."""


class Orders:
    """Listens to the supervisor in a thread, also while the event loop hangs.

    Orders are no signals: a signal may reach the supervisor and its processes alike (Ctrl-C, a
    service manager), and must not count twice. When the supervisor is gone the worker drains; if
    it is still there `grace` and some seconds later, the process ends.
    """

    def __init__(
        self,
        channel: socket.socket,
        *,
        grace: float,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._channel = channel
        self._grace = grace
        self._end = end
        self._worker: Ordered | None = None
        self._told: bytes = b""
        self._lock = threading.Lock()
        self.is_orphan = False

    def start(self) -> None:
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def obeyed_by(self, worker: Ordered) -> None:
        """From now on; also what was ordered before it was there."""
        with self._lock:
            self._worker, told = worker, self._told
        for order in (told[:1], told[1:]):
            self._pass_on(order)

    def ready(self) -> None:
        """Tell the supervisor that this process works."""
        with suppress(OSError):
            self._channel.send(READY)

    def _listen(self) -> None:
        while order := self._next():
            self._take(order)
        self.is_orphan = True
        self._take(DRAIN)
        time.sleep(self._grace + _PATIENCE)
        self._end(_ABANDONED)

    def _next(self) -> bytes:
        try:
            return self._channel.recv(1)
        except OSError:
            return b""

    def _take(self, order: bytes) -> None:
        with self._lock:
            if order in self._told:
                return
            self._told += order
            if self._worker is None:
                return
        self._pass_on(order)

    def _pass_on(self, order: bytes) -> None:
        if order and self._worker is not None:
            self._worker.order(hurry=order == HURRY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Process `number` of `count`, counted from 0.

    `folder` holds a socket of each, `sockets` are those on HOST:PORT, which all share.
    """

    number: int
    count: int
    folder: Path
    sockets: Sequence[socket.socket]
    orders: Orders
    is_burst: bool = False

    @property
    def siblings(self) -> list[int]:
        return [number for number in range(self.count) if number != self.number]

    def socket_of(self, number: int) -> Path:
        return self.folder / f"{number}.sock"
