import socket

import pytest

from infra.ports import HOST, check, free
from tailrace.errors import TailraceError


def test_free_ports_differ_and_can_be_listened_on() -> None:
    found = free(5)
    assert len(set(found)) == 5
    for port in found:
        check(port, "Kafka", "--kafka-port")


def test_a_taken_port_is_named_with_the_option_that_chooses_another() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(TailraceError, match=rf"port {port} .*already in use.*Kafka.*--kafka-port"):
            check(port, "Kafka", "--kafka-port")
