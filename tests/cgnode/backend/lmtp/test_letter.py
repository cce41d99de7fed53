from __future__ import annotations

from pathlib import Path

from cgnode.backend.lmtp.letter import Bringer, Letter, header
from cgnode.proto.smtp.address import Address


def test_short_and_long(tmp_path: Path) -> None:
    for short in (0, 10, 100):
        letter = Letter(tmp_path, short)
        for _ in range(30):
            letter.write(b"x" * 3)
        assert letter.size == 90
        for _ in range(2):
            assert b"".join(letter.pieces()) == b"x" * 90
        letter.close()
        letter.close()
    assert list(tmp_path.iterdir()) == []


def test_session() -> None:
    for text, session in [
        (b"Received: from a\r\n\tby b\r\n\tid 1 (session 0f.a-b);\r\n\tdate\r\n\r\n", "0f.a-b"),
        (b"Received: (session 7)\r\nReceived: (session 8)\r\n", "7"),
        (b"Received: from a\r\nReceived: (session 8)\r\n", ""),
        (b"Subject: (session 7)\r\n", ""),
        (b"", ""),
    ]:
        letter = Letter()
        if text:
            letter.write(text)
        assert letter.session() == session


def test_header() -> None:
    bringer = Bringer("fe1.example", "192.0.2.1", "5e55", "LMTPSA")
    found = header(Address("a b", "x.example"), "alice@example.com", bringer, "be1.example", 1_700_000_000)
    assert found.decode().splitlines() == [
        'Return-Path: <"a b"@x.example>',
        "Delivered-To: alice@example.com",
        "Received: from fe1.example ([192.0.2.1])",
        "\tby be1.example (cgnode) with LMTPSA",
        "\tid 5e55 for <alice@example.com>;",
        "\tTue, 14 Nov 2023 22:13:20 +0000",
    ]
    odd = header(None, "alice@example.com", Bringer("(x\r\n", "::1", "5", "LMTP"), "be1", 0)
    assert odd.startswith(b"Return-Path: <>\r\n")
    assert b"from unknown ([IPv6:::1])" in odd
