"""Ports of the loopback for servers that are to be found there again after a restart."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Below those that the system gives to clients, so that nobody gets them by chance, and
    none that was given before."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                found.append(port)
    return found
