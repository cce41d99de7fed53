"""What must not happen, over sockets: smuggled mail, mail without a home, mail that is lost."""

from __future__ import annotations

import os
import smtplib
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import pytest

from cgnode.config import FrontendConfig, SmtpConfig
from cgnode.frontend.queue.policy import Limits
from cgnode.frontend.smtp.terms import Kind
from tests.cgnode.frontend.smtp.office import TEXT, Office, Wire, office
from tests.cgnode.frontend.test_disk_full import biggest_file

SENDER = "carol@elsewhere.example"


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path) as opened:
        yield opened


def begun(wire: Wire, recipient: str = "alice@example.com") -> Wire:
    """A transaction in which the text is awaited."""
    wire.hello()
    for line, code in [
        (f"MAIL FROM:<{SENDER}>", "250"),
        (f"RCPT TO:<{recipient}>", "250"),
        ("DATA", "354"),
    ]:
        assert wire.say(line).startswith(code)
    return wire


# --- smuggling ---------------------------------------------------------------------------

SECOND = b"MAIL FROM:<boss@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nSubject: forged\r\n\r\nx\r\n"


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\r\n\0.\r\n"]
)
def test_no_end_but_one(plain: Office, end: bytes) -> None:
    with plain.plain() as wire:
        begun(wire).send(b"Subject: first\r\n\r\ntext" + end + SECOND + b".\r\n")
        assert wire.reply().startswith("250")
        assert wire.say("NOOP").startswith("250")
    assert b"Subject: forged" in plain.text()
    assert all(line in (b"", b"\r") or line.endswith(b"\r") for line in plain.text().split(b"\n"))
    assert b"\r\n.\r\n" not in plain.text().split(b"MAIL FROM")[0].replace(b"\r\n..", b"")


def test_who_sends_on_unasked_is_cut_off(plain: Office) -> None:
    with plain.plain() as wire:
        wire.hello()
        wire.send(
            b"MAIL FROM:<carol@elsewhere.example>\r\nRCPT TO:<alice@example.com>\r\n"
            b"DATA\r\nSubject: x\r\n\r\n.\r\n"
        )
        assert [wire.reply()[:3] for _ in range(4)] == ["250", "250", "554", ""]
    assert plain.ids() == []


def test_pipelined_as_it_should_be(plain: Office) -> None:
    with plain.plain() as wire:
        wire.hello()
        envelope = b"MAIL FROM:<carol@elsewhere.example>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n"
        wire.send(envelope)
        assert [wire.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        for _ in range(3):
            wire.send(TEXT.encode() + b".\r\n" + envelope)
            assert [wire.reply()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
    assert len(plain.ids()) == 3


def test_every_octet_by_itself(plain: Office) -> None:
    with plain.plain() as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun(wire)
        for octet in TEXT.encode() + b"..dot\r\n.\r\n":
            wire.send(bytes((octet,)))
        assert wire.reply().startswith("250")
    assert plain.text().endswith(TEXT.encode() + b".dot\r\n")


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.0\r\n\r\n", b"\0" * 5000, b"x" * 100_000]
)
def test_garbage(plain: Office, garbage: bytes) -> None:
    with plain.plain() as wire:
        wire.reply()
        try:
            wire.send(garbage)
            wire.socket.shutdown(socket.SHUT_WR)
            while wire.reply():
                pass
        except OSError:
            pass
    with plain.smtp() as client:
        assert client.noop()[0] == 250


# --- lost connections --------------------------------------------------------------------


def wait_until_gone(opened: Office) -> None:
    for _ in range(500):
        if opened.counters(Kind.SMTP).open == 0:
            return
        sleep(0.01)
    raise AssertionError("a connection is still open")


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_lost_connection_leaves_nothing(plain: Office, size: int) -> None:
    with plain.plain() as wire:
        begun(wire).send(b"Subject: x\r\n\r\n" + b"line\r\n" * (size // 6))
        sleep(0.05)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until_gone(plain)
    assert plain.ids() == []
    assert list((plain.folder / "queue" / "large").iterdir()) == []


def test_a_message_that_is_reset_leaves_nothing(plain: Office) -> None:
    with plain.plain() as wire:
        wire.hello()
        wire.say(f"MAIL FROM:<{SENDER}>")
        wire.say("RCPT TO:<alice@example.com>")
        wire.send(b"BDAT 100000\r\n" + b"line \r\n\r\n!" * 10_000)
        assert wire.reply().startswith("250")
        assert wire.say("RSET").startswith("250")
    assert list((plain.folder / "queue" / "large").iterdir()) == []
    assert plain.ids() == []


def test_a_large_message(plain: Office) -> None:
    body = b"".join(b"line %d\r\n" % number for number in range(100_000))
    with plain.smtp() as client:
        client.sendmail(SENDER, "alice@example.com", b"Subject: large\r\n\r\n" + body)
    assert plain.text().endswith(b"\r\n\r\n" + body)


# --- full disks --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_full_disk_refuses_for_now(tmp_path: Path, size: int) -> None:
    with office(tmp_path) as opened, opened.smtp() as client:
        client.sendmail(SENDER, "alice@example.com", TEXT)
        with biggest_file(0), pytest.raises(smtplib.SMTPDataError) as refusal:
            client.sendmail(SENDER, "alice@example.com", "Subject: x\r\n\r\n" + "line\r\n" * (size // 6))
        assert (refusal.value.smtp_code, refusal.value.smtp_error[:5]) == (452, b"4.3.1")
        assert client.noop()[0] == 250
        client.sendmail(SENDER, "alice@example.com", TEXT)
        assert len(opened.ids()) == 2
        assert opened.counters(Kind.SMTP).failed == 1


def test_a_queue_at_its_bound_refuses_before_the_text(tmp_path: Path) -> None:
    with office(tmp_path, limits=Limits(free=0, messages=1)) as opened, opened.smtp() as client:
        client.sendmail(SENDER, "alice@example.com", TEXT)
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            client.sendmail(SENDER, "alice@example.com", TEXT)
        assert refusal.value.smtp_code == 452
        assert len(opened.ids()) == 1


def test_what_is_announced_to_be_too_big_for_the_disk(tmp_path: Path) -> None:
    config = FrontendConfig(smtp=SmtpConfig(max_size=1 << 60))
    with office(tmp_path, config) as opened, opened.plain() as wire:
        wire.hello()
        room = os.statvfs(tmp_path)
        wire.say(f"MAIL FROM:<{SENDER}> SIZE={room.f_bavail * room.f_frsize + (1 << 30)}")
        wire.say("RCPT TO:<alice@example.com>")
        assert wire.say("DATA").startswith("452 4.3.1")


# --- many at once ------------------------------------------------------------------------


def test_many_clients(plain: Office) -> None:
    def send(number: int) -> None:
        with plain.smtp() as client:
            for each in range(5):
                text = f"Subject: {number}.{each}\r\n\r\nx\r\n"
                client.sendmail(SENDER, "alice@example.com", text)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(send, range(10)))
    assert len({text.split(b"Subject: ")[1] for text in plain.texts()}) == 50
    assert plain.counters(Kind.SMTP).messages == 50


def test_the_end_waits_for_a_message_that_is_being_kept(plain: Office) -> None:
    for _ in range(5):
        with plain.plain() as wire:
            begun(wire).send(TEXT.encode() + b".\r\n")
            plain.call(plain.intake.stop)
            assert wire.reply()[:3] in ("250", "421")
