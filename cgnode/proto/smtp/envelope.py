"""An envelope: who a message is from and to, and the parameters of both: SIZE (RFC 1870),
BODY (RFC 6152), SMTPUTF8 (RFC 6531), RET, ENVID, NOTIFY and ORCPT (RFC 3461, RFC 6533),
AUTH (RFC 4954).

What lives here: the values, which travel from a server's events through a queue to a
client, and the text of their parameters both ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, TypeVar

from attrs import frozen

from cgnode.proto.smtp.address import Address


class Body(Enum):
    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"


class Return(Enum):
    """What a failure's report is to bring back."""

    FULL = "FULL"
    HEADERS = "HDRS"


class Notify(Enum):
    """What of a recipient's fate is to be reported; NEVER stands alone."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


@frozen
class OriginalRecipient:
    """``type`` is ``rfc822`` or ``utf-8`` for mail; ``address`` is decoded."""

    type: str
    address: str


@frozen
class MailParameters:
    """None and "" are for what was not given; ``auth`` "<>" says that nobody vouches."""

    size: int | None = None
    body: Body | None = None
    utf8: bool = False
    ret: Return | None = None
    envid: str = ""
    auth: str = ""


@frozen
class RecipientParameters:
    notify: frozenset[Notify] = frozenset()
    orcpt: OriginalRecipient | None = None


@frozen
class Mail:
    """The beginning of a transaction; the null sender is None: nothing is ever sent back
    to it (RFC 5321 section 4.5.5)."""

    sender: Address | None
    parameters: MailParameters = MailParameters()


@frozen
class Recipient:
    address: Address
    parameters: RecipientParameters = RecipientParameters()


# --- parameters from text --------------------------------------------------------------


class BadParameter(Exception):
    """``str()`` names the parameter and says what is wrong; ``unknown`` when it is one
    that is not known here."""

    def __init__(self, text: str, unknown: bool = False) -> None:
        super().__init__(text)
        self.unknown = unknown


_MAX_ENVID: Final = 100  # RFC 3461 section 4.4
_MAX_ORCPT: Final = 500  # section 4.2
_SIZE: Final = re.compile(r"[0-9]{1,20}")
_KEYWORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VALUE: Final = re.compile(r"[!-<>-~\u0080-\U0010ffff]+")
_ATOM: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")

_Choice = TypeVar("_Choice", bound=Enum)


def parse_mail_parameters(text: str, known: frozenset[str]) -> MailParameters:
    """What follows the path of MAIL; ``known`` are the keywords on offer.  Raises
    BadParameter."""
    if not text:
        return _NO_MAIL_PARAMETERS
    values = _split(text, known)
    size = values.get("SIZE")
    if size is not None and _SIZE.fullmatch(size) is None:
        raise BadParameter("SIZE is not a number")
    if values.get("SMTPUTF8"):
        raise BadParameter("SMTPUTF8 has no value")
    auth = values.get("AUTH", "")
    return MailParameters(
        None if size is None else int(size),
        _choice(Body, "BODY", values.get("BODY")),
        "SMTPUTF8" in values,
        _choice(Return, "RET", values.get("RET")),
        _xtext("ENVID", values.get("ENVID", ""), _MAX_ENVID),
        auth if auth == "<>" else _xtext("AUTH", auth),
    )


def parse_recipient_parameters(text: str, known: frozenset[str]) -> RecipientParameters:
    """What follows the path of RCPT, likewise."""
    if not text:
        return _NO_RECIPIENT_PARAMETERS
    values = _split(text, known)
    return RecipientParameters(_notify(values.get("NOTIFY")), _orcpt(values.get("ORCPT")))


_NO_MAIL_PARAMETERS: Final = MailParameters()
_NO_RECIPIENT_PARAMETERS: Final = RecipientParameters()


def _split(text: str, known: frozenset[str]) -> dict[str, str]:
    """RFC 5321 section 4.1.2: ``esmtp-keyword ["=" esmtp-value]``."""
    values: dict[str, str] = {}
    for parameter in filter(None, text.split(" ")):
        keyword, equals, value = parameter.partition("=")
        name = keyword.upper()
        if _KEYWORD.fullmatch(keyword) is None or (equals and _VALUE.fullmatch(value) is None):
            raise BadParameter("malformed parameter")
        if name not in known:
            raise BadParameter(f"{name} is not known here", unknown=True)
        if name in values:
            raise BadParameter(f"{name} twice")
        if not value and name != "SMTPUTF8":
            raise BadParameter(f"{name} without a value")
        values[name] = value
    return values


def _choice(kind: type[_Choice], name: str, value: str | None) -> _Choice | None:
    if value is None:
        return None
    try:
        return kind(value.upper())
    except ValueError:
        raise BadParameter(f"{name} has no such value") from None


def _notify(value: str | None) -> frozenset[Notify]:
    if value is None:
        return frozenset()
    wanted = [_choice(Notify, "NOTIFY", part) for part in value.split(",")]
    if len(wanted) > 1 and (Notify.NEVER in wanted or len(set(wanted)) < len(wanted)):
        raise BadParameter("NOTIFY contradicts or repeats itself")
    return frozenset(filter(None, wanted))


def _orcpt(value: str | None) -> OriginalRecipient | None:
    if value is None:
        return None
    kind, semicolon, address = value.partition(";")
    if not semicolon or not address or _ATOM.fullmatch(kind) is None or len(value.encode()) > _MAX_ORCPT:
        raise BadParameter("malformed ORCPT")
    if kind.lower() == "utf-8":
        return OriginalRecipient("utf-8", _decode("ORCPT", decode_unitext, address))
    return OriginalRecipient(kind, _xtext("ORCPT", address))


def _xtext(name: str, value: str, most: int | None = None) -> str:
    if most is not None and len(value) > most:
        raise BadParameter(f"{name} is too long")
    return _decode(name, decode_xtext, value)


def _decode(name: str, decoder: Callable[[str], str], value: str) -> str:
    try:
        return decoder(value)
    except ValueError:
        raise BadParameter(f"malformed {name}") from None


# --- parameters to text ----------------------------------------------------------------


def format_mail_parameters(parameters: MailParameters, offered: Iterable[str]) -> str:
    """The parameters that the other side's extensions (``SIZE``, ``DSN`` ...) allow, each
    with a space in front.  AUTH is not passed on: it would be our word for it."""
    words: list[str] = []
    if parameters.size is not None and "SIZE" in offered:
        words.append(f" SIZE={parameters.size}")
    if parameters.body is not None and "8BITMIME" in offered:
        words.append(f" BODY={parameters.body.value}")
    if parameters.utf8 and "SMTPUTF8" in offered:
        words.append(" SMTPUTF8")
    if "DSN" in offered:
        if parameters.ret is not None:
            words.append(f" RET={parameters.ret.value}")
        if parameters.envid:
            words.append(f" ENVID={encode_xtext(parameters.envid)}")
    return "".join(words)


def format_recipient_parameters(
    parameters: RecipientParameters, offered: Iterable[str], utf8: bool = False
) -> str:
    """Likewise; ``utf8``: the transaction has SMTPUTF8."""
    if "DSN" not in offered:
        return ""
    words: list[str] = []
    if parameters.notify:
        names = ",".join(sorted(notify.value for notify in parameters.notify))
        words.append(f" NOTIFY={names}")
    original = parameters.orcpt
    if original is not None:
        if original.type == "utf-8":
            encoded = encode_unitext(original.address, utf8)
        else:
            encoded = encode_xtext(original.address)
        words.append(f" ORCPT={original.type};{encoded}")
    return "".join(words)


# --- xtext (RFC 3461 section 4) and its like for UTF-8 (RFC 6533 section 3) ------------

_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")
_TO_XTEXT: Final = re.compile(r"[^!-*,-<>-~]")
_UNITEXT: Final = re.compile(r"(?:[!-<>-\[\]-~\u0080-\U0010ffff]|\\x\{[0-9A-F]{2,6}\})*")
_UNICHAR: Final = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_TO_UNITEXT: Final = re.compile(r"[^!-*,-<>-\[\]-~\u00a0-\ud7ff\ue000-\U0010ffff]")
_TO_ASCII_UNITEXT: Final = re.compile(r"[^!-*,-<>-\[\]-~]")


def decode_xtext(text: str) -> str:
    """ValueError if it is none, or stands for what is not ASCII text."""
    if _XTEXT.fullmatch(text) is None:
        raise ValueError("not xtext")
    decoded = _HEXCHAR.sub(lambda form: chr(int(form[1], 16)), text) if "+" in text else text
    if not (decoded.isascii() and decoded.isprintable()):
        raise ValueError("not printable")
    return decoded


def encode_xtext(text: str) -> str:
    """What is not ASCII becomes the hexadecimal octets of its UTF-8."""
    return _TO_XTEXT.sub(lambda form: "".join(f"+{octet:02X}" for octet in form[0].encode()), text)


def decode_unitext(text: str) -> str:
    """A ``utf-8`` address of ORCPT; ValueError if it is none."""
    if _UNITEXT.fullmatch(text) is None:
        raise ValueError("not unitext")
    decoded = _UNICHAR.sub(lambda form: chr(int(form[1], 16)), text)
    if not decoded.isprintable():  # line ends and surrogates among others
        raise ValueError("not printable")
    return decoded


def encode_unitext(text: str, utf8: bool) -> str:
    """``utf8``: UTF-8 may be sent as it is."""
    to_encode = _TO_UNITEXT if utf8 else _TO_ASCII_UNITEXT
    return to_encode.sub(lambda form: f"\\x{{{ord(form[0]):02X}}}", text)
