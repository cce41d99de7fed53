"""Examples of every kind of message, written out; what they mean stands beside them."""

from __future__ import annotations

from typing import Final

from ldapserver.messages import (
    AbandonRequest,
    AddRequest,
    And,
    Approx,
    Attribute,
    BindRequest,
    Change,
    CompareRequest,
    Control,
    DeleteRequest,
    Deref,
    Equality,
    ExtendedRequest,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Message,
    ModifyDNRequest,
    ModifyOp,
    ModifyRequest,
    Not,
    Or,
    Present,
    Request,
    SaslCredentials,
    Scope,
    SearchHead,
    SearchRequest,
    SimpleCredentials,
    Substrings,
    UnbindRequest,
)
from ldapserver.wire.client import encode_message

MAIL: Final = Equality("mail", b"x@y")


def search(
    filter: Filter = MAIL, attributes: tuple[str, ...] = ("hostServer",), base: str = "o=example"
) -> SearchRequest:
    return SearchRequest(SearchHead(base, Scope.SUBTREE, Deref.NEVER, 0, 0, False), filter, attributes)


LITERAL: Final[tuple[tuple[str, Message], ...]] = (
    ("30 0c 02 01 01 60 07 02 01 03 04 00 80 00", Message(1, BindRequest(3, "", SimpleCredentials(b"")), ())),
    ("30 05 02 01 02 42 00", Message(2, UnbindRequest(), ())),
    (
        "30 32 02 01 03 63 2d 04 09 6f3d6578616d706c65 0a 01 02 0a 01 00 02 01 00 02 01 00 01 01 00"
        "a3 0b 04 04 6d61696c 04 03 784079 30 04 04 02 636e",
        Message(3, search(attributes=("cn",)), ()),
    ),
    ("30 08 02 01 04 4a 03 613d62", Message(4, DeleteRequest("a=b"), ())),
    ("30 07 02 02 00 80 50 01 05", Message(128, AbandonRequest(5), ())),
    (
        "30 1a 02 01 05 4a 03 613d62 a0 10 30 0e 04 05 312e322e33 01 01 ff 04 02 0102",
        Message(5, DeleteRequest("a=b"), (Control("1.2.3", True, b"\x01\x02"),)),
    ),
)
"""Written by hand from the RFC."""

FILTERS: Final[tuple[Filter, ...]] = (
    MAIL,
    And(()),
    Or(()),
    And((Equality("objectClass", b"person"), MAIL, Not(Present("seeAlso")))),
    Or((GreaterOrEqual("uidNumber", b"7"), LessOrEqual("uidNumber", b"3"), Approx("cn", b"ann"))),
    Substrings("cn", b"a", (b"b", b"c"), b"d"),
    Substrings("cn", None, (b"b",), None),
    Extensible("caseExactMatch", "cn", b"Ann", True),
    Extensible(None, "cn", b"Ann", False),
    Extensible("2.5.13.2", None, b"Ann", False),
)

REQUESTS: Final[tuple[Request, ...]] = (
    *(search(filter) for filter in FILTERS),
    search(attributes=()),
    BindRequest(3, "cn=admin", SimpleCredentials(b"secret")),
    BindRequest(3, "", SaslCredentials("EXTERNAL", None)),
    BindRequest(3, "", SaslCredentials("PLAIN", b"\0a\0b")),
    UnbindRequest(),
    AddRequest("cn=a", (Attribute("objectClass", (b"top", b"person")), Attribute("sn", (b"",)))),
    DeleteRequest("cn=a"),
    ModifyRequest("cn=a", (Change(ModifyOp.DELETE, "sn", ()), Change(ModifyOp.INCREMENT, "n", (b"1",)))),
    ModifyDNRequest("cn=a", "cn=b", True, None),
    ModifyDNRequest("cn=a", "cn=b", False, "o=c"),
    CompareRequest("cn=a", "sn", b"b"),
    AbandonRequest(7),
    ExtendedRequest("1.3.6.1.4.1.4203.1.11.3", None),
    ExtendedRequest("1.3.6.1.1.8", b"\x30\x03\x02\x01\x07"),
)

CONTROLS: Final = (
    Control("1.2.840.113556.1.4.319", True, b"\x30\x05\x02\x01\x09\x04\x00"),
    Control("1.2", False, None),
)

MESSAGES: Final[tuple[Message, ...]] = (
    *(Message(number, request, ()) for number, request in enumerate(REQUESTS, 1)),
    Message(2**31 - 1, search(), CONTROLS),
    Message(300, DeleteRequest("cn=a"), CONTROLS),
)
"""Written by the encoder, which is tested against ldaptor's."""

ENCODED: Final = tuple(map(encode_message, MESSAGES))
KINDS: Final = tuple(type(message.request).__name__ for message in MESSAGES)
"""Names for them."""
