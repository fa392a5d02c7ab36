import socket

import pytest

from worker.sidecar.listening import SidecarError, listen, port_of


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_every_address_of_a_host_listens_on_one_port(host: str) -> None:
    sockets = listen(host, 0)

    (port,) = {port_of(each) for each in sockets}
    assert port
    for each in sockets:
        with each, socket.create_connection(each.getsockname()[:2], timeout=5):
            pass


def test_a_port_that_is_taken_is_a_sentence() -> None:
    (taken,) = listen("127.0.0.1", 0)

    with taken, pytest.raises(SidecarError, match=r"is taken by another process.*set PORT"):
        listen("127.0.0.1", port_of(taken))
