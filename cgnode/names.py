"""Names of accounts, domains and servers, and addresses made of them.

Account names are CommuniGate Pro's: case-insensitive; letters, digits, ``_ - .``, a dot
neither first nor last, at most 128 characters.  Addresses are RFC 5321 section 4.1.2's
mailboxes.  Plain functions of text; every refusal is a ``BadName`` that says what is wrong.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

LONGEST_NAME: Final = 128
LONGEST_DOMAIN: Final = 253
LONGEST_ADDRESS: Final = 512

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_LITERAL: Final = re.compile(r"\[[A-Za-z0-9:.-]+\]")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")
_QUOTED: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*)"')
_PAIR: Final = re.compile(r"\\(.)")


class BadName(ValueError):
    """What is wrong with a name, in words for who wrote it."""


@frozen
class Address:
    """A mailbox: ``domain`` is in lower case, ``local`` as it was written, without quotes."""

    local: str
    domain: str

    def __str__(self) -> str:
        plain = _ATOMS.fullmatch(self.local) and not _dots_are_wrong(self.local)
        local = self.local if plain else '"{}"'.format(re.sub(r'(["\\])', r"\\\1", self.local))
        return f"{local}@{self.domain}" if self.domain else local

    @property
    def key(self) -> tuple[str, str]:
        """Equal for addresses that lead to the same account here."""
        return self.local.lower(), self.domain


def account_name(text: str) -> str:
    """The name of an account, alias, group or forwarder, in lower case; raises BadName."""
    if not text:
        raise BadName("an empty name; write it as in alice@example.com")
    if not _NAME.fullmatch(text):
        raise BadName(f"{_cut(text)!r} is no account name: only letters, digits, _, - and . may be in it")
    if text[0] == "." or text[-1] == ".":
        raise BadName(f"{_cut(text)!r} is no account name: a dot may be neither first nor last")
    if len(text) > LONGEST_NAME:
        raise BadName(f"{_cut(text)!r} is no account name: it has more than {LONGEST_NAME} characters")
    return text.lower()


def is_account_name(text: str) -> bool:
    try:
        account_name(text)
    except BadName:
        return False
    return True


def domain_name(text: str) -> str:
    """A domain's name in lower case, without the root's dot; raises BadName."""
    name = text[:-1] if text.endswith(".") else text
    if not name:
        raise BadName("an empty domain name; write it as in example.com")
    if not name.isascii():
        raise BadName(f"{_cut(text)!r} is no domain name: write its ASCII form, as in xn--bcher-kva.example")
    if len(name) > LONGEST_DOMAIN or not all(map(_LABEL.fullmatch, name.split("."))):
        raise BadName(
            f"{_cut(text)!r} is no domain name: it is made of letters, digits and hyphens, with dots between"
        )
    return name.lower()


def server_name(text: str) -> str:
    """A server's name (its main domain, or a short name such as be3) in lower case."""
    try:
        return domain_name(text)
    except BadName:
        raise BadName(f"{_cut(text)!r} is no server name; write it as in be3 or be3.example.com") from None


def parse_address(text: str) -> Address:
    """``local@domain``, either part in any of its forms; raises BadName."""
    local, at, domain = text.rpartition("@")
    if not at:
        raise BadName(f"{_cut(text)!r} is no address: write it as in alice@example.com")
    if len(text) > LONGEST_ADDRESS:
        raise BadName(f"{_cut(text)!r} is no address: it has more than {LONGEST_ADDRESS} characters")
    return Address(_local_part(local, text), _mail_domain(domain))


def parse_login(text: str) -> Address:
    """What a client gives as its user: an address, or a name alone (``domain`` is "")."""
    return parse_address(text) if "@" in text else Address(_local_part(text, text), "")


def account_address(text: str) -> Address:
    """The address of something that may be here: its local part is an account name."""
    local, at, domain = text.rpartition("@")
    if not at:
        raise BadName(f"{_cut(text)!r} is no address: write it as in alice@example.com")
    return Address(account_name(local), domain_name(domain))


def _mail_domain(domain: str) -> str:
    return domain.lower() if _LITERAL.fullmatch(domain) else domain_name(domain)


def _local_part(local: str, whole: str) -> str:
    quoted = _QUOTED.fullmatch(local)
    if quoted and quoted[1]:
        return _PAIR.sub(r"\1", quoted[1])
    if len(whole) > LONGEST_ADDRESS or not _ATOMS.fullmatch(local) or _dots_are_wrong(local):
        raise BadName(f"{_cut(whole)!r} is no address: its local part is not as mail writes it")
    return local


def _dots_are_wrong(local: str) -> bool:
    return local[0] == "." or local[-1] == "." or ".." in local


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
