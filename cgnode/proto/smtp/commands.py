"""What a client's command lines say (RFC 5321 section 4.1.1, RFC 3030, RFC 4954).

What lives here: from octets to values, or the reply to what is malformed.  What must not:
whether a command's turn has come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from attrs import evolve, frozen

from cgnode.proto.smtp.address import Address, take_path
from cgnode.proto.smtp.envelope import (
    BadParameter,
    Mail,
    Recipient,
    decode_xtext,
    encode_xtext,
    parse_mail_parameters,
    parse_recipient_parameters,
)
from cgnode.proto.smtp.events import XClient
from cgnode.proto.smtp.reply import Reply
from cgnode.proto.smtp.states import Verb

_MAX_NAME: Final = 255
_MAX_LINE: Final = 510
_NAME: Final = re.compile(r"[!-~]+")
_CHUNK: Final = re.compile(r"([0-9]{1,18})(?: +(LAST))?", re.IGNORECASE)
_AUTH: Final = re.compile(r"([A-Za-z0-9_-]{1,20})(?: +(\S+))?")

WITHOUT_ARGUMENT: Final = frozenset({Verb.DATA, Verb.RSET, Verb.QUIT, Verb.STARTTLS})


class Refused(Exception):
    """The command can't be granted, and this is the answer."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        self.reply = Reply(code, enhanced, text)


def split_command(line: bytes) -> tuple[str, str]:
    """The verb, in upper case, and what follows it.  Raises Refused."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Refused(500, "5.5.2", "not UTF-8") from None
    if not text.isprintable():
        raise Refused(500, "5.5.2", "control characters")
    verb, _, argument = text.partition(" ")
    if not verb.isascii():
        raise Refused(500, "5.5.2", "not ASCII")
    return verb.upper(), argument.strip(" ")


def parse_hello(argument: str) -> str:
    """The client's name, which is trusted in nothing: any form is taken."""
    if not argument:
        raise Refused(501, "5.5.4", "a name is missing")
    if len(argument) > _MAX_NAME or _NAME.fullmatch(argument) is None:
        raise Refused(501, "5.5.4", "not a name")
    return argument


def parse_mail(argument: str, known: frozenset[str]) -> Mail:
    """MAIL's argument; ``known`` are the parameters on offer."""
    sender, rest = _path(argument, "FROM:")
    if sender is not None and not sender.domain:
        raise Refused(501, "5.1.7", "an address without a domain")
    try:
        parameters = parse_mail_parameters(rest, known)
    except BadParameter as bad:
        raise _bad_parameter(bad) from None
    _check_ascii(sender, parameters.utf8)
    return Mail(sender, parameters)


def parse_recipient(argument: str, known: frozenset[str], utf8: bool) -> Recipient:
    """RCPT's argument; ``utf8``: the transaction has SMTPUTF8."""
    address, rest = _path(argument, "TO:")
    if address is None:
        raise Refused(501, "5.1.3", "nobody is no recipient")
    try:
        parameters = parse_recipient_parameters(rest, known)
    except BadParameter as bad:
        raise _bad_parameter(bad) from None
    _check_ascii(address, utf8)
    return Recipient(address, parameters)


def _path(argument: str, word: str) -> tuple[Address | None, str]:
    """A space behind the colon is wrong, and common."""
    if argument[: len(word)].upper() != word:
        raise Refused(501, "5.5.4", f"syntax: {word}<address>")
    try:
        path, rest = take_path(argument[len(word) :].lstrip(" "))
    except ValueError as error:
        raise Refused(501, "5.1.3" if word == "TO:" else "5.1.7", str(error)) from None
    if rest and not rest.startswith(" "):
        raise Refused(501, "5.5.4", "something behind the address")
    return path, rest


def _bad_parameter(bad: BadParameter) -> Refused:
    return Refused(555 if bad.unknown else 501, "5.5.4", str(bad))


def _check_ascii(address: Address | None, utf8: bool) -> None:
    """RFC 6531 section 3.5."""
    if address is not None and not utf8 and not address.ascii:
        raise Refused(553, "5.6.7", "such an address needs SMTPUTF8")


def parse_chunk(argument: str) -> tuple[int, bool] | None:
    """BDAT's count, and whether the chunk is the last; None when it can't be known how
    many octets follow."""
    form = _CHUNK.fullmatch(argument)
    return None if form is None else (int(form[1]), form[2] is not None)


def parse_auth(argument: str) -> tuple[str, bytes | None]:
    """The mechanism and the initial response, as it stands."""
    form = _AUTH.fullmatch(argument)
    if form is None:
        raise Refused(501, "5.5.4", "syntax: AUTH mechanism [initial response]")
    return form[1].upper(), None if form[2] is None else form[2].encode()


# --- XCLIENT ---------------------------------------------------------------------------


def _xclient_text(text: str) -> str:
    return text[:_MAX_NAME]


def _xclient_address(text: str) -> IPv4Address | IPv6Address:
    if text[:5].upper() == "IPV6:":
        return IPv6Address(text[5:])
    return IPv4Address(text)


def _xclient_port(text: str) -> int:
    if not text.isdigit() or len(text) > 5 or int(text) > 0xFFFF:
        raise ValueError("no port")
    return int(text)


@frozen
class _Attribute:
    """An attribute's field in XClient, its reader, and what it is when it is unknown."""

    field: str
    read: Callable[[str], Any]
    nothing: Any


_XCLIENT: Final[Mapping[str, _Attribute]] = {
    "NAME": _Attribute("name", _xclient_text, ""),
    "ADDR": _Attribute("address", _xclient_address, None),
    "PORT": _Attribute("port", _xclient_port, None),
    "PROTO": _Attribute("protocol", _xclient_text, ""),
    "HELO": _Attribute("helo", _xclient_text, ""),
    "LOGIN": _Attribute("login", _xclient_text, ""),
    "DESTADDR": _Attribute("destination", _xclient_address, None),
    "DESTPORT": _Attribute("destination_port", _xclient_port, None),
}
XCLIENT_ATTRIBUTES: Final = tuple(_XCLIENT)

_UNAVAILABLE: Final = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})


def parse_xclient(argument: str, before: XClient) -> XClient:
    """What is said now, over what was said ``before``."""
    values: dict[str, Any] = {}
    for part in filter(None, argument.split(" ")):
        name, equals, encoded = part.partition("=")
        known = _XCLIENT.get(name.upper())
        if not equals or known is None or known.field in values:
            raise Refused(501, "5.5.4", "an attribute that is not known, or twice")
        try:
            text = decode_xtext(encoded)
            values[known.field] = known.nothing if text.upper() in _UNAVAILABLE else known.read(text)
        except ValueError:
            raise Refused(501, "5.5.4", f"malformed {name.upper()}") from None
    if not values:
        raise Refused(501, "5.5.4", "syntax: XCLIENT attribute=value")
    return evolve(before, **values)


def format_xclient(client: XClient, offered: Collection[str]) -> list[str]:
    """The commands that say what is known of ``client`` and was ``offered`` to be heard;
    each fits a command line of RFC 5321."""
    lines: list[str] = []
    for name, attribute in _XCLIENT.items():
        value = getattr(client, attribute.field)
        if value == attribute.nothing or name not in offered:
            continue
        prefix = "IPV6:" if isinstance(value, IPv6Address) else ""
        word = f" {name}={encode_xtext(prefix + str(value))}"
        if not lines or len(lines[-1]) + len(word) > _MAX_LINE:
            lines.append(Verb.XCLIENT.value)
        lines[-1] += word
    return lines
