"""Messages taken apart: parts, envelopes, body structures, sections."""

from __future__ import annotations

import time
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from cgnode.proto.imap import fetching, structure
from cgnode.proto.imap.addresses import GROUP_END, Address, parse_addresses
from cgnode.proto.imap.commands import Section, Text
from cgnode.proto.imap.faults import Fault
from cgnode.proto.imap.mime import DEEPEST, MOST_PARTS, Part, parameters

# RFC 3501 section 6.4.5: the example of part numbers.
NESTED = b"""\
From: a@example.com
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: text/plain

first
--outer
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

AGEB
--outer
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/mixed; boundary="in ner"

--in ner

three one
--in ner
Content-Type: application/octet-stream

three two
--in ner--
epilogue
--outer
Content-Type: multipart/mixed; boundary=four

--four
Content-Type: image/gif
Content-ID: <gif>
Content-Description: a picture
Content-Disposition: attachment; filename="a \\"b\\".gif"
Content-Language: de, en
Content-Location: here
Content-MD5: xyz

four one
--four
Content-Type: message/rfc822

Subject: four two
From: b@example.com

four two
line two

--four--
--outer--
""".replace(b"\n", b"\r\n")


def text_of(
    message: bytes, *part: int, text: Text = Text.ALL, fields: tuple[bytes, ...] = ()
) -> bytes | None:
    octets = structure.section(Part(message), Section(part, text, fields))
    return None if octets is None else bytes(octets)


def body_of(message: bytes, extended: bool = True) -> bytes:
    return fetching.body(structure.body(Part(message)), extended)


def envelope_of(header: bytes) -> structure.Envelope:
    return structure.envelope(Part(header))


# --- sections ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ((1,), b"first"),
        ((2,), b"AGEB"),
        ((3, 1), b"three one"),
        ((3, 2), b"three two"),
        ((4, 1), b"four one"),
        ((4, 2, 1), b"four two\r\nline two\r\n"),
        ((3, 3), None),
        ((5,), None),
        ((1, 1), None),
        ((4, 2, 2), None),
        ((4, 2, 1, 1), None),
        ((4, 1, 1), None),
    ],
)
def test_parts(part: tuple[int, ...], text: bytes | None) -> None:
    assert text_of(NESTED, *part) == text


def test_headers_and_texts_of_parts() -> None:
    assert text_of(NESTED, 3, text=Text.HEADER) == (
        b'Subject: inner\r\nContent-Type: multipart/mixed; boundary="in ner"\r\n\r\n'
    )
    assert text_of(NESTED, 3, text=Text.MIME) == b"Content-Type: message/rfc822\r\n\r\n"
    assert text_of(NESTED, 3, 1, text=Text.MIME) == b"\r\n"
    assert text_of(NESTED, 4, 2, text=Text.TEXT) == b"four two\r\nline two\r\n"
    assert text_of(NESTED, 4, 2, text=Text.FIELDS, fields=(b"FROM", b"x")) == b"From: b@example.com\r\n\r\n"
    # These are of messages only.
    for text in (Text.HEADER, Text.TEXT, Text.FIELDS, Text.NOT_FIELDS):
        assert text_of(NESTED, 1, text=text) is None
        assert text_of(NESTED, 4, text=text) is None
    assert text_of(NESTED) == NESTED
    assert (text_of(NESTED, text=Text.HEADER) or b"") + (text_of(NESTED, text=Text.TEXT) or b"") == NESTED


SINGLE = b"Subject: x\r\nX-A: 1\r\n folded\r\nx-a: 2\r\n\r\nbody\r\n"


def test_a_message_of_one_part() -> None:
    assert text_of(SINGLE, 1) == text_of(SINGLE, text=Text.TEXT) == b"body\r\n"
    assert text_of(SINGLE, 2) is None
    assert text_of(SINGLE, 1, 1) is None
    assert text_of(SINGLE, 1, text=Text.MIME) == text_of(SINGLE, text=Text.HEADER)
    assert text_of(SINGLE, 1, text=Text.HEADER) is None
    fields = text_of(SINGLE, text=Text.FIELDS, fields=(b"x-A",))
    assert fields == b"X-A: 1\r\n folded\r\nx-a: 2\r\n\r\n"
    assert text_of(SINGLE, text=Text.NOT_FIELDS, fields=(b"x-A",)) == b"Subject: x\r\n\r\n"


def test_a_message_that_is_a_message() -> None:
    message = b"Content-Type: message/rfc822\r\n\r\n" + NESTED
    assert text_of(message, 1) == NESTED
    assert text_of(message, 1, text=Text.HEADER) == text_of(NESTED, text=Text.HEADER)
    assert text_of(message, 1, 3, 2) == b"three two"
    assert text_of(message, 2) is None


def test_bodies_without_their_encoding() -> None:
    part = Part(NESTED)
    assert structure.decoded(part, (2,)) == b"\0a\1"
    assert structure.decoded(part, (1,)) == b"first"
    assert structure.decoded(part, (9,)) is None
    assert structure.decoded(part, ()) == NESTED
    encoded = b"Content-Transfer-Encoding: %b\r\n\r\n%b"
    assert structure.decoded(Part(encoded % (b"Quoted-Printable", b"a=3Db=\r\nc")), (1,)) == b"a=bc"
    for octets in (b"YWJj", b"YW Jj\r\n", b"YWJj=", b"YWJjZ", b"=YWJj"):
        assert structure.decoded(Part(encoded % (b"base64", octets)), (1,)) == b"abc"
    with pytest.raises(Fault, match="encoding"):
        structure.decoded(Part(encoded % (b"x-uuencode", b"")), (1,))


# --- what is malformed -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "header", "body"),
    [
        (b"", b"", b""),
        (b"\r\n", b"\r\n", b""),
        (b"\r\nbody", b"\r\n", b"body"),
        (b"A: b", b"A: b", b""),
        (b"A: b\r\n", b"A: b\r\n", b""),
        (b"A: b\n\nbody", b"A: b\n\n", b"body"),
        (b"no header at all\r\n", b"no header at all\r\n", b""),
        (b"\xff\0\r\n\r\n\0", b"\xff\0\r\n\r\n", b"\0"),
    ],
)
def test_any_octets_are_a_message(message: bytes, header: bytes, body: bytes) -> None:
    assert text_of(message, text=Text.HEADER) == header
    assert text_of(message, text=Text.TEXT) == text_of(message, 1) == body
    fetching.envelope(envelope_of(message))
    body_of(message)


def multipart(boundary: bytes, *lines: bytes) -> bytes:
    return b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n" % boundary + b"\r\n".join(lines)


def test_multiparts_that_are_not_quite() -> None:
    # No end; a longer boundary is another one; blanks behind it are none of it.
    open_ended = multipart(b"b", b"--bb", b"x", b"--b \t", b"", b"one", b"--b", b"", b"two", b" --b", b"--bc")
    assert text_of(open_ended, 1) == b"one"
    assert text_of(open_ended, 2) == b"two\r\n --b\r\n--bc"
    # Parts without anything, or without a header's end.
    assert text_of(multipart(b"b", b"--b", b"--b", b"A: c", b"--b--"), 1) == b""
    assert text_of(multipart(b"b", b"--b", b"--b", b"A: c", b"--b--"), 2, text=Text.MIME) == b"A: c"
    # No part at all: then it is text, and nothing of it is lost.
    for broken in (multipart(b"b", b"text"), multipart(b'""', b"text"), multipart(b"b", b"--b--", b"text")):
        assert body_of(broken, False).startswith(b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit"')
        assert (text_of(broken, 1) or b"").endswith(b"text")


def test_depth_and_number_of_parts_are_limited() -> None:
    deep = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(100)
    )
    assert body_of(deep).count(b'"mixed"') == DEEPEST
    matryoshka = b"Content-Type: message/rfc822\r\n\r\n" * 100
    assert body_of(matryoshka).count(b'"rfc822"') == DEEPEST
    many = multipart(b"b", *[b"--b\r\n\r\nx"] * (MOST_PARTS + 50))
    assert len(Part(many).children) == MOST_PARTS
    assert (text_of(many, MOST_PARTS) or b"").count(b"--b") == 50


@pytest.mark.parametrize(
    "message",
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b" * 60_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 10_000,
        b"To: " + b"(" * 20_000,
        b"To: " + b"<" * 20_000,
        b"To: " + b'"' * 20_001,
        b"To: " + b"a@" * 10_000,
        b"To: " + b"a:" * 10_000,
        b"To: " + b"\\" * 20_000,
        b"Content-Type: text/plain" + b"; a" * 10_000,
        b"Content-Type: text/plain; a=" + b'"' * 10_000,
        b"Content-Type: " + b"/" * 20_000,
        b"Content-Type: " + b" " * 20_000,
        b"A:\r\n" * 10_000,
        b"A: b\r\n" + b" \r\n" * 10_000,
        b"\r" * 60_000,
        b" " * 60_000,
        b"Content-Disposition: a" + b";" * 10_000,
    ],
    ids=lambda message: repr(message[:40]),
)
def test_nothing_takes_long(message: bytes) -> None:
    begun = time.process_time()
    fetching.envelope(envelope_of(message))
    body_of(message)
    assert time.process_time() - begun < 1


# --- body structure ----------------------------------------------------------------------


def test_the_structure_of_text() -> None:
    assert body_of(b"\r\na\r\nb", False) == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 1)'
    assert body_of(b'Content-Type: TEXT/HTML; Charset=utf-8; format="x y"\r\n\r\na\r\n') == (
        b'("text" "html" ("Charset" "utf-8" "format" "x y") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)'
    )
    assert body_of(b"Content-Type: nonsense\r\n\r\n", False).startswith(b'("text" "plain"')
    assert body_of(b"Content-Type: image/png\r\n\r\nxyz", False) == b'("image" "png" NIL NIL NIL "7bit" 3)'


def test_the_structure_of_everything() -> None:
    inner = (
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 9 0)'
        b'("application" "octet-stream" NIL NIL NIL "7bit" 9) "mixed"'
    )
    nobody = b"NIL NIL NIL NIL NIL NIL NIL NIL"
    somebody = b'((NIL NIL "b" "example.com"))'
    assert body_of(NESTED, False) == (
        b'(("text" "plain" NIL NIL NIL "7bit" 5 0)'
        b'("application" "octet-stream" NIL NIL NIL "base64" 4)'
        b'("message" "rfc822" NIL NIL NIL "7bit" %d (NIL "inner" %b) (%b) %d)'
        b'(("image" "gif" NIL "<gif>" "a picture" "7bit" 8)'
        b'("message" "rfc822" NIL NIL NIL "7bit" 62 (NIL "four two" %b %b %b NIL NIL NIL NIL NIL)'
        b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 20 2) 5) "mixed") "mixed")'
    ) % (
        len(text_of(NESTED, 3) or b""),
        nobody,
        inner,
        (text_of(NESTED, 3) or b"").count(b"\n"),
        somebody,
        somebody,
        somebody,
    )
    extended = body_of(NESTED)
    assert b'"7bit" 8 "xyz" ("attachment" ("filename" "a \\"b\\".gif")) ("de" "en") "here")' in extended
    assert extended.endswith(
        b' "mixed" ("boundary" "four") NIL NIL NIL) "mixed" ("boundary" "outer") NIL NIL NIL)'
    )


def test_a_digest_has_messages() -> None:
    digest = b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\ny\r\n--b--\r\n"
    assert body_of(digest, False).startswith(b'(("message" "rfc822" NIL NIL NIL "7bit" 15 (NIL "x"')
    assert text_of(digest, 1, 1) == b"y"


def test_parameters() -> None:
    assert parameters(b'; a=b;c = "d;e" ; f*0*=utf-8\'\'x; g="h\\"i\\\\"; ; j') == (
        (b"a", b"b"),
        (b"c", b"d;e"),
        (b"f*0*", b"utf-8''x"),
        (b"g", b'h"i\\'),
    )
    assert parameters(b'; a="open') == ((b"a", b"open"),)


def test_what_python_composes() -> None:
    """The parts are those that ``email`` has put there."""
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message.set_content("plain ä\n")
    message.add_alternative("<p>html ä</p>\n", subtype="html")
    message.add_attachment(bytes(range(256)) * 10, "application", "x-data", filename="data.bin")
    inner = EmailMessage()
    inner.set_content("inner\n")
    message.add_attachment(inner)
    octets = message.as_bytes(policy=SMTP)
    part = Part(octets)
    assert (structure.decoded(part, (1, 1)) or b"").decode() == "plain ä\r\n"
    assert (structure.decoded(part, (1, 2)) or b"").decode() == "<p>html ä</p>\r\n"
    assert structure.decoded(part, (2,)) == bytes(range(256)) * 10
    assert structure.decoded(part, (3, 1)) == b"inner\r\n"
    assert text_of(octets, 3) == inner.as_bytes(policy=SMTP)
    assert text_of(octets, 4) is None


# --- envelopes ---------------------------------------------------------------------------


def test_an_envelope() -> None:
    header = (
        b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
        b"From: Terry Gray <gray@cac.washington.edu>\r\n"
        b"Subject: IMAP4rev1 WG mtg\r\n summary and minutes\r\n"
        b"To: imap@cac.washington.edu\r\n"
        b"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
        b"Sender: \r\n"
        b"Message-Id: <B27397-0100000@cac.washington.edu>\r\n"
        b"In-Reply-To:\r\n"
    )
    gray = b'(("Terry Gray" NIL "gray" "cac.washington.edu"))'
    assert fetching.envelope(envelope_of(header)) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" '
        + b" ".join((gray, gray, gray))
        + b' ((NIL NIL "imap" "cac.washington.edu"))'
        b' ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU"))'
        b' NIL "" "<B27397-0100000@cac.washington.edu>")'
    )


def test_an_envelope_with_eight_bits_and_nul() -> None:
    assert fetching.envelope(envelope_of(b"Subject: \xe4\0\xf6\r\n")).startswith(b"(NIL {2}\r\n\xe4\xf6 NIL")


def one(name: bytes | None, mailbox: bytes, host: bytes, route: bytes | None = None) -> tuple[Address, ...]:
    return (Address(name, route, mailbox, host),)


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        (b"", ()),
        (b" , ,", ()),
        (b"a@b.c", one(None, b"a", b"b.c")),
        (b"A B <a@b>", one(b"A B", b"a", b"b")),
        (b'"B, A" <a@b>', one(b"B, A", b"a", b"b")),
        (b'"a \\"b\\" \\\\" <a@b>', one(b'a "b" \\', b"a", b"b")),
        (b"=?utf-8?q?=C3=A4?= <a@b>", one(b"=?utf-8?q?=C3=A4?=", b"a", b"b")),
        (b'"a b"@c', one(None, b"a b", b"c")),
        (b"a . b @ c . d", one(None, b"a.b", b"c.d")),
        (b"a@[127.0.0.1]", one(None, b"a", b"[127.0.0.1]")),
        (b"a@b (A (the) B)", one(b"A (the) B", b"a", b"b")),
        (b"A (x) <a(y)@b>", one(b"A", b"a", b"b")),
        (b"(x) <a@b>", one(b"x", b"a", b"b")),
        (b"<@x,@y:a@b>", one(None, b"a", b"b", b"@x,@y")),
        (b"MAILER-DAEMON", one(None, b"MAILER-DAEMON", b"")),
        (b"<>", one(None, b"", b"")),
        (b"A <a@b", one(b"A", b"a", b"b")),
        (b"\xe4 <a@b>", one(b"\xe4", b"a", b"b")),
        (b"undisclosed-recipients:;", (Address(None, None, b"undisclosed-recipients", None), GROUP_END)),
        (
            b"g: a@b, C <c@d>; e@f",
            (
                Address(None, None, b"g", None),
                *one(None, b"a", b"b"),
                *one(b"C", b"c", b"d"),
                GROUP_END,
                *one(None, b"e", b"f"),
            ),
        ),
        (b"g: a@b", (Address(None, None, b"g", None), *one(None, b"a", b"b"), GROUP_END)),
        (b"a@b; c@d", (*one(None, b"a", b"b"), *one(None, b"c", b"d"))),
    ],
)
def test_addresses(value: bytes, addresses: tuple[Address, ...]) -> None:
    assert parse_addresses(value) == addresses
