"""Addresses of an envelope: paths, mailboxes, domains (RFC 5321 sections 4.1.2 and 4.1.3;
beyond ASCII, RFC 6531 section 3.3).

What lives here: form.  What must not: which addresses there are, and how names compare.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from attrs import frozen

# Twice, and more, what section 4.5.3.1 has everybody take: addresses that carry another
# address in their local part are long.
_MAX_LOCAL: Final = 255
_MAX_DOMAIN: Final = 255

_BEYOND: Final = "\u00a0-\ud7ff\ue000-\U0010ffff"  # UTF8-non-ascii without control characters
_ATOM: Final = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_BEYOND}-]+"
_DOT_STRING: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED: Final = rf'"(?:[ !#-\[\]-~{_BEYOND}]|\\[ -~])*"'
_HOST: Final = rf"[A-Za-z0-9._{_BEYOND}-]+"
_LITERAL: Final = r"\[[!-Z^-~]+\]"

_PATH: Final = re.compile(
    rf"<(?:@{_HOST}(?:,@{_HOST})*:)?"  # a source route, which is ignored (appendix C)
    rf"({_DOT_STRING.pattern}|{_QUOTED})(?:@({_HOST}|{_LITERAL}))?>"
)
_ADDRESS: Final = re.compile(rf"({_DOT_STRING.pattern}|{_QUOTED})@({_HOST}|{_LITERAL})")

_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOSTNAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ESCAPED: Final = re.compile(r"\\(.)")
_TO_ESCAPE: Final = re.compile(r'(["\\])')


@frozen
class Address:
    """A mailbox.  ``local`` has no quotes and escapes; ``domain`` is as it was written,
    an address literal with its brackets, and "" only of <Postmaster>."""

    local: str
    domain: str

    @property
    def ascii(self) -> bool:
        """It needs no SMTPUTF8."""
        return self.local.isascii() and self.domain.isascii()

    def __str__(self) -> str:
        local = self.local
        if _DOT_STRING.fullmatch(local) is None:
            local = '"' + _TO_ESCAPE.sub(r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


def parse_address(text: str) -> Address:
    """``local@domain``, as people write it into configurations; ValueError if it is none."""
    form = _ADDRESS.fullmatch(text)
    if form is None:
        raise ValueError("not an address")
    return _checked(form[1], form[2])


def take_path(text: str) -> tuple[Address | None, str]:
    """The path that ``text`` begins with, and what follows it; None is the null path
    ``<>``.  ValueError if there is none."""
    if text.startswith("<>"):
        return None, text[2:]
    form = _PATH.match(text)
    if form is None:
        raise ValueError("not an address in angle brackets")
    rest = text[form.end() :]
    if form[2] is None:
        if form[1].lower() != "postmaster":  # section 4.5.1
            raise ValueError("an address without a domain")
        return Address(form[1], ""), rest
    return _checked(form[1], form[2]), rest


def _checked(local: str, domain: str) -> Address:
    if local.startswith('"'):
        local = _ESCAPED.sub(r"\1", local[1:-1])
    if len(local.encode()) > _MAX_LOCAL:
        raise ValueError("a local part that is too long")
    if not is_domain(domain):
        raise ValueError("not a domain")
    return Address(local, domain)


def is_domain(text: str) -> bool:
    """A domain or an address literal.  An underscore may be in a domain, as in practice
    it is; beyond ASCII only the lengths are bounded."""
    if text.startswith("["):
        return _is_literal(text)
    if text.isascii():
        return len(text) <= _MAX_DOMAIN and _HOSTNAME.fullmatch(text) is not None
    labels = text.split(".")
    return len(text.encode()) <= _MAX_DOMAIN and all(
        label and not label.startswith("-") and not label.endswith("-") for label in labels
    )


def _is_literal(text: str) -> bool:
    """Section 4.1.3, for the two kinds of addresses there are."""
    inside = text[1:-1]
    try:
        if inside[:5].lower() == "ipv6:":
            return IPv6Address(inside[5:]).scope_id is None and text.endswith("]")
        IPv4Address(inside)
    except ValueError:
        return False
    return text.endswith("]")
