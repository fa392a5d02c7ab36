"""Orders: heard before there is a worker, once each, and without a supervisor."""

import socket
import subprocess
import sys
import threading
import time

from worker.group import Orders
from worker.group.member import DRAIN, HURRY, READY


def unused(code: int) -> None:
    """In place of the process' end: this one is the tests'."""


class Worker:
    def __init__(self) -> None:
        self.heard: list[bool] = []
        self.changed = threading.Event()

    def order(self, *, hurry: bool) -> None:
        self.heard.append(hurry)
        self.changed.set()


def until(worker: Worker, heard: list[bool]) -> None:
    deadline = time.monotonic() + 10
    while worker.heard != heard:
        assert time.monotonic() < deadline, worker.heard
        time.sleep(0.01)


def test_each_order_is_passed_on_once_also_when_it_came_before_the_worker() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        orders, worker = Orders(theirs, grace=60, end=unused), Worker()
        orders.start()
        ours.send(DRAIN)
        orders.obeyed_by(worker)
        until(worker, [False])

        ours.send(DRAIN + HURRY + DRAIN + HURRY)

        until(worker, [False, True])
        assert not orders.is_orphan
        orders.ready()
        assert ours.recv(8) == READY


def test_without_a_supervisor_it_drains() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        orders, worker = Orders(theirs, grace=60, end=unused), Worker()
        orders.obeyed_by(worker)
        orders.start()

        ours.close()

        until(worker, [False])
        assert orders.is_orphan


def test_a_process_that_hangs_without_its_supervisor_ends_all_the_same() -> None:
    hangs = (
        "import socket, time; from worker.group import Orders\n"
        "ours, theirs = socket.socketpair()\n"
        "Orders(theirs, grace=-19.5).start(); ours.close(); time.sleep(60)"  # waits 20 s more
    )

    assert subprocess.run([sys.executable, "-c", hangs], check=False, timeout=50).returncode == 70
