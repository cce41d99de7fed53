"""The PROXY protocol's header, in both versions and directions."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from cgnode.proto.proxy_protocol import Endpoint, ProxyDecoder, ProxyError, ProxyHeader, encode_v1, encode_v2
from tests.cgnode.proto.splitting import same_when_split

V2 = b"\r\n\r\n\x00\r\nQUIT\n"


def ends(source: str, destination: str, source_port: int = 56324, destination_port: int = 25) -> ProxyHeader:
    return ProxyHeader(
        Endpoint(ip_address(source), source_port), Endpoint(ip_address(destination), destination_port)
    )


V4 = ends("192.0.2.1", "198.51.100.7")
V6 = ends("2001:db8::1", "2001:db8:ffff::25", 1, 65535)


def decode(data: bytes) -> tuple[ProxyHeader | None, bytes] | str:
    """The header and what came behind it, or the error."""

    def run(pieces: Sequence[bytes]) -> tuple[ProxyHeader | None, bytes] | str:
        decoder = ProxyDecoder()
        header: ProxyHeader | None = None
        rest = b""
        try:
            for piece in pieces:
                if header is not None:
                    rest += piece
                elif (header := decoder.feed(piece)) is not None:
                    rest = decoder.rest
        except ProxyError as error:
            return str(error)
        return header, rest

    return same_when_split(run, data)


@pytest.mark.parametrize(
    ("header", "v1", "v2"),
    [
        (
            V4,
            b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n",
            V2 + b"\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x00\x19",
        ),
        (
            V6,
            b"PROXY TCP6 2001:db8::1 2001:db8:ffff::25 1 65535\r\n",
            V2 + b"\x21\x21\x00\x24" + bytes.fromhex("20010db8" + "0" * 23 + "1")
            + bytes.fromhex("20010db8ffff" + "0" * 18 + "25") + b"\x00\x01\xff\xff",
        ),
        (ProxyHeader(), b"PROXY UNKNOWN\r\n", V2 + b"\x20\x00\x00\x00"),
    ],
)  # fmt: skip
def test_both_ways(header: ProxyHeader, v1: bytes, v2: bytes) -> None:
    assert encode_v1(header) == v1
    assert encode_v2(header) == v2
    assert decode(v1 + b"EHLO x\r\n") == (header, b"EHLO x\r\n")
    assert decode(v2 + b"EHLO x\r\n") == (header, b"EHLO x\r\n")


def test_ends_of_two_families() -> None:
    mixed = ends("192.0.2.1", "2001:db8::1")
    decoded = decode(encode_v2(mixed))
    assert decoded == (ends("::ffff:192.0.2.1", "2001:db8::1"), b"")
    assert decode(encode_v1(mixed)) == decoded
    assert decode(encode_v1(ends("fe80::1%eth0", "fe80::2"))) == (ends("fe80::1", "fe80::2"), b"")
    assert encode_v2(ProxyHeader(V4.source, None)) == encode_v2(ProxyHeader())


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        V2 + b"\x20\x11\x00\x0c" + bytes(12),  # LOCAL, whatever it says
        V2 + b"\x20\xff\x00\x03abc",
        V2 + b"\x21\x00\x00\x00",
        V2 + b"\x21\x31\x00\xd8" + bytes(216),  # a socket's path
        V2 + b"\x21\x12\x00\x0c" + bytes(12),  # UDP
    ],
)
def test_headers_without_ends(data: bytes) -> None:
    assert decode(data) == (ProxyHeader(), b"")


def test_extensions_are_skipped() -> None:
    addresses = encode_v2(V4)[16:]
    extensions = b"\x02\x00\x03abc" + b"\x20\x00\x00"
    length = (len(addresses) + len(extensions)).to_bytes(2, "big")
    assert decode(V2 + b"\x21\x11" + length + addresses + extensions + b"x") == (V4, b"x")


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO example.com\r\n",
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 -2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
        b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP4 \xff.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + b"x" * 100,
        V2 + b"\x11\x11\x00\x0c" + bytes(12),
        V2 + b"\x22\x11\x00\x0c" + bytes(12),
        V2 + b"\x21\x41\x00\x0c" + bytes(12),
        V2 + b"\x21\x13\x00\x0c" + bytes(12),
        V2 + b"\x21\x11\x00\x0b" + bytes(11),
        V2 + b"\x21\x11\x00\x0e" + bytes(14),
        V2 + b"\x21\x11\x00\x10" + bytes(12) + b"\x02\x00\x02x",
        V2 + b"\x21\x11\xff\xff",
        b"\r\n\r\nQUIT\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)  # fmt: skip
def test_no_headers(data: bytes) -> None:
    assert isinstance(decode(data), str)


def test_the_longest_header_of_version_1() -> None:
    line = b"PROXY UNKNOWN ".ljust(105, b"x") + b"\r\n"
    assert decode(line) == (ProxyHeader(), b"")


def test_a_header_is_refused_as_soon_as_it_is_too_long() -> None:
    with pytest.raises(ProxyError, match="too long"):
        ProxyDecoder(most=100).feed(V2 + b"\x21\x11\x00\x80")


def test_an_unfinished_header_says_nothing() -> None:
    for header in (encode_v1(V4), encode_v2(V4)):
        assert decode(header[:-1]) == (None, b"")
