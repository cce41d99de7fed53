"""Cutting a stream of octets into LDAPMessages (RFC 4511 section 5.1).

What lives here: the outermost header, nothing inside it.  A length over the limit is
refused when it is announced, before any of it is kept.
"""

from __future__ import annotations

from ldapserver.wire.tags import SEQUENCE


class ProtocolViolation(Exception):
    """The peer does not speak LDAP: say so in a Notice of Disconnection, whose text is
    ``str()`` of this, and close (RFC 4511 section 4.1.1).

    ``complete`` are the messages that arrived whole before the fault, in the same call.
    """

    def __init__(self, text: str, complete: tuple[bytes, ...] = ()) -> None:
        super().__init__(text)
        self.complete = complete


class Framer:
    """One stream's splitter.

    ``max_message`` counts the octets of a whole message and may be raised at any time.
    """

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        self._buffer = bytearray()
        self._needed = 0
        """Octets until the first message in the buffer is whole; 0: its header is not."""
        self._fault = ""

    @property
    def buffered(self) -> int:
        """Octets kept of a message that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now, each with its header.  After a
        ProtocolViolation the stream has no meaning and every call raises it again."""
        if self._fault:
            raise ProtocolViolation(self._fault)
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            # Once per message at most, and what is left over is less than one: linear.
            data = bytes(self._buffer)
            self._buffer.clear()
        messages: list[bytes] = []
        try:
            self._split(data, messages)
        except ProtocolViolation as violation:
            self._fault = str(violation)
            raise ProtocolViolation(self._fault, tuple(messages)) from None
        return messages

    def _split(self, data: bytes, messages: list[bytes]) -> None:
        size = len(data)
        limit = self.max_message
        pos = 0
        while pos < size:
            if data[pos] == SEQUENCE and pos + 1 < size and data[pos + 1] < 0x80:
                needed = data[pos + 1] + 2
            else:
                needed = _measure(data, pos, size)
            if needed > limit:
                raise ProtocolViolation(f"message of more than {limit} octets")
            stop = pos + needed
            if stop > size or not needed:
                self._needed = needed
                self._buffer += data[pos:]
                break
            messages.append(data[pos:stop])
            pos = stop


def _measure(data: bytes, pos: int, size: int) -> int:
    """The length of the message at ``pos`` with its header; 0 when that is not whole yet."""
    if data[pos] != SEQUENCE:
        raise ProtocolViolation("not an LDAP message")
    if pos + 1 == size:
        return 0
    announced = data[pos + 1]
    if announced < 0x80:
        return 2 + announced
    if announced == 0x80:
        raise ProtocolViolation("message of indefinite length")
    if announced > 0x84:
        raise ProtocolViolation("message length of more than four octets")
    start = pos + 2 + (announced & 0x7F)
    if start > size:
        return 0
    return start - pos + int.from_bytes(data[pos + 2 : start], "big")
