"""The PROXY protocol, versions 1 and 2: what a balancer says of a connection before the
connection's own first octet (haproxy's doc/proxy-protocol.txt).

What lives here: the header, both ways.  What must not: which networks may send one, and
whether a listener expects it: the specification forbids to guess (section 2).
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

from attrs import frozen

IPAddress: TypeAlias = IPv4Address | IPv6Address

_V1: Final = b"PROXY "
_V1_MOST: Final = 107
_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED: Final = struct.Struct("!12sBBH")
_V2_MOST: Final = 4096

_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_UNSPECIFIED: Final = 0x0
_INET: Final = 0x1
_INET6: Final = 0x2
_UNIX: Final = 0x3
_STREAM: Final = 0x1
_DATAGRAM: Final = 0x2
_ADDRESSES: Final = {_UNSPECIFIED: 0, _INET: 12, _INET6: 36, _UNIX: 216}


class ProxyError(Exception):
    """What came is no PROXY header: close, without a word."""


@frozen
class Endpoint:
    address: IPAddress
    port: int


@frozen
class ProxyHeader:
    """A connection's ends as the balancer knows them.  Without them (a health check, an
    address family that is not the Internet's) the connection's own ends hold."""

    source: Endpoint | None = None
    destination: Endpoint | None = None


class ProxyDecoder:
    """Takes a connection's first octets until the header is whole.

    ``most`` bounds a version 2 header with its extensions, which are skipped.
    """

    __slots__ = ("_buffer", "_most", "rest")

    def __init__(self, most: int = _V2_MOST) -> None:
        self._most = most
        self._buffer = b""
        self.rest = b""
        """What came behind the header."""

    def feed(self, data: bytes) -> ProxyHeader | None:
        """The header, once it is whole; raises ProxyError."""
        self._buffer += data
        buffer = self._buffer
        if buffer.startswith(_V1[: len(buffer)]):
            return self._feed_v1(buffer)
        if buffer.startswith(_V2[: len(buffer)]):
            return self._feed_v2(buffer)
        raise ProxyError("no PROXY header")

    def _feed_v1(self, buffer: bytes) -> ProxyHeader | None:
        end = buffer.find(b"\r\n", 0, _V1_MOST)
        if end < 0:
            if len(buffer) >= _V1_MOST:
                raise ProxyError("header too long")
            return None
        return self._done(_parse_v1(buffer[:end]), end + 2)

    def _feed_v2(self, buffer: bytes) -> ProxyHeader | None:
        if len(buffer) < _V2_FIXED.size:
            return None
        _, command, family, length = _V2_FIXED.unpack_from(buffer)
        stop = _V2_FIXED.size + length
        if stop > self._most:
            raise ProxyError("header too long")
        if len(buffer) < stop:
            return None
        return self._done(_parse_v2(command, family, buffer[_V2_FIXED.size : stop]), stop)

    def _done(self, header: ProxyHeader, stop: int) -> ProxyHeader:
        self.rest = self._buffer[stop:]
        self._buffer = b""
        return header


def _parse_v1(line: bytes) -> ProxyHeader:
    """Section 2.1: one space between fields, no leading zeros."""
    parts = line.split(b" ")
    if parts[1:2] == [b"UNKNOWN"]:
        return ProxyHeader()
    if len(parts) != 6:
        raise ProxyError("malformed header")
    kinds: dict[bytes, type[IPv4Address | IPv6Address]] = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}
    kind = kinds.get(parts[1])
    if kind is None:
        raise ProxyError("unknown protocol")
    try:
        addresses = [kind(part.decode("ascii")) for part in parts[2:4]]
    except ValueError:
        raise ProxyError("malformed address") from None
    if any(isinstance(address, IPv6Address) and address.scope_id for address in addresses):
        raise ProxyError("malformed address")
    source_port, destination_port = map(_parse_port, parts[4:6])
    return ProxyHeader(Endpoint(addresses[0], source_port), Endpoint(addresses[1], destination_port))


def _parse_port(text: bytes) -> int:
    if not text.isdigit() or len(text) > 5 or (len(text) > 1 and text.startswith(b"0")):
        raise ProxyError("malformed port")
    port = int(text)
    if port > 0xFFFF:
        raise ProxyError("malformed port")
    return port


def _parse_v2(command: int, kind: int, body: bytes) -> ProxyHeader:
    """Section 2.2."""
    family, transport = kind >> 4, kind & 0xF
    if command not in (_LOCAL, _PROXY):
        raise ProxyError("unknown version or command")
    if command == _LOCAL:
        return ProxyHeader()  # whatever stands in the rest
    size = _ADDRESSES.get(family)
    if size is None or transport > _DATAGRAM:
        raise ProxyError("unknown protocol")
    if len(body) < size:
        raise ProxyError("addresses cut short")
    _check_extensions(body[size:])
    if transport != _STREAM:
        return ProxyHeader()
    if family == _INET:
        source, destination, source_port, destination_port = struct.unpack_from("!4s4sHH", body)
        return ProxyHeader(
            Endpoint(IPv4Address(source), source_port), Endpoint(IPv4Address(destination), destination_port)
        )
    if family == _INET6:
        source, destination, source_port, destination_port = struct.unpack_from("!16s16sHH", body)
        return ProxyHeader(
            Endpoint(IPv6Address(source), source_port), Endpoint(IPv6Address(destination), destination_port)
        )
    return ProxyHeader()


def _check_extensions(body: bytes) -> None:
    """Section 2.2.7: type, length, value, as often as there is room, and nothing else."""
    pos = 0
    while pos < len(body):
        if len(body) - pos < 3:
            raise ProxyError("malformed extension")
        pos += 3 + int.from_bytes(body[pos + 1 : pos + 3], "big")
    if pos != len(body):
        raise ProxyError("malformed extension")


def encode_v1(header: ProxyHeader) -> bytes:
    source, destination = _ends(header)
    if source is None or destination is None:
        return b"PROXY UNKNOWN\r\n"
    text = f"{source.address} {destination.address} {source.port} {destination.port}"
    return f"PROXY TCP{source.address.version} {text}\r\n".encode("ascii")


def encode_v2(header: ProxyHeader) -> bytes:
    """A header without ends says LOCAL."""
    source, destination = _ends(header)
    if source is None or destination is None:
        return _V2_FIXED.pack(_V2, _LOCAL, 0, 0)
    family = _INET if source.address.version == 4 else _INET6
    ports = struct.pack("!HH", source.port, destination.port)
    body = source.address.packed + destination.address.packed + ports
    return _V2_FIXED.pack(_V2, _PROXY, family << 4 | _STREAM, len(body)) + body


def _ends(header: ProxyHeader) -> tuple[Endpoint | None, Endpoint | None]:
    """Both ends in one family: an IPv4 address is one of IPv6 too (RFC 4291 section
    2.5.5.2).  Without a zone, which means something on its own machine only."""
    source, destination = header.source, header.destination
    if source is None or destination is None:
        return None, None
    if source.address.version == destination.address.version:
        return _without_zone(source), _without_zone(destination)
    return _in_v6(source), _in_v6(destination)


def _without_zone(end: Endpoint) -> Endpoint:
    return Endpoint(IPv6Address(end.address.packed), end.port) if end.address.version == 6 else end


def _in_v6(end: Endpoint) -> Endpoint:
    mapped = end.address.packed if end.address.version == 6 else b"\0" * 10 + b"\xff\xff" + end.address.packed
    return Endpoint(IPv6Address(mapped), end.port)
