"""A TCP relay that remembers all that goes through it, as somebody who listens in does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from attrs import define, field


@define(eq=False)
class Relay:
    """From ``port`` to another port of this machine."""

    target: int
    server: socket.socket = field(factory=lambda: socket.create_server(("127.0.0.1", 0)))
    heard: bytearray = field(factory=bytearray)

    @property
    def port(self) -> int:
        return int(self.server.getsockname()[1])

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client = self.server.accept()[0]
                try:
                    there = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    client.close()
                    continue
                for pair in ((client, there), (there, client)):
                    Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with source, suppress(OSError):
            while data := source.recv(65536):
                self.heard += data
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(target: int) -> Iterator[Relay]:
    opened = Relay(target)
    thread = Thread(target=opened.serve, daemon=True)
    thread.start()
    try:
        yield opened
    finally:
        # What waits in accept is only woken by this.
        with suppress(OSError):
            opened.server.shutdown(socket.SHUT_RDWR)
        opened.server.close()
        thread.join(5)
