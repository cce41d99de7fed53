"""Which hosts take a domain's mail (RFC 5321 section 5.1, RFC 7505).

What lives here: the question to the DNS and the order of its answers.  What must not:
connections.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.names import dns
from twisted.names.error import DNSNameError

from cgnode.proto.smtp.reply import Reply

MOST: Final = 5
"""Hosts that are tried at once, one after the other, and addresses of each."""

_TIMES: Final = (2, 5, 10)
"""Seconds to wait for an answer, the first time, the second ..."""

Section = Sequence[Any]
Answer = tuple[Section, Section, Section]


class Resolver(Protocol):
    """Of Twisted's (``twisted.names.client``), what is needed here."""

    def lookupMailExchange(self, name: str, timeout: Sequence[int]) -> Deferred[Answer]: ...
    def lookupAddress(self, name: str, timeout: Sequence[int]) -> Deferred[Answer]: ...
    def lookupIPV6Address(self, name: str, timeout: Sequence[int]) -> Deferred[Answer]: ...


class NoMail(Exception):
    """``reply``: the domain takes no mail."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class NotKnown(Exception):
    """It could not be found out; ``str()`` says why."""


@frozen
class Exchanger:
    name: str
    implicit: bool = False
    """The domain itself, which has no MX."""


NO_DOMAIN: Final = Reply(550, "5.1.2", "there is no such domain")
NULL_MX: Final = Reply(556, "5.1.10", "the domain takes no mail")
NO_ADDRESS: Final = Reply(550, "5.4.4", "the domain has no host for mail")
TO_OURSELVES: Final = Reply(554, "5.4.6", "mail for the domain loops back to us")


async def exchangers(
    resolver: Resolver, domain: str, own_names: frozenset[str], random: Random
) -> list[Exchanger]:
    """In the order in which they are to be tried; never empty.  Raises NoMail, NotKnown."""
    records = await _records(resolver.lookupMailExchange(domain, _TIMES), dns.MX, domain)
    found = [(record.preference, _text(record.name)) for record in records]
    if not found:
        if domain in own_names:
            raise NoMail(TO_OURSELVES)
        return [Exchanger(domain, implicit=True)]
    if all(not name for _, name in found):
        raise NoMail(NULL_MX)
    ours = min((preference for preference, name in found if name in own_names), default=None)
    # Nobody passes mail to those who are as far from its home, or farther.
    nearer = [pair for pair in found if pair[1] and (ours is None or pair[0] < ours)]
    if not nearer:
        raise NoMail(TO_OURSELVES)
    random.shuffle(nearer)
    nearer.sort(key=lambda pair: pair[0])
    return [Exchanger(name) for name in dict.fromkeys(name for _, name in nearer)][:MOST]


async def addresses(resolver: Resolver, exchanger: Exchanger, random: Random) -> list[str]:
    """Where a host is, in numbers.  Raises NoMail, NotKnown."""
    name = exchanger.name
    four = await _records(resolver.lookupAddress(name, _TIMES), dns.A, name)
    six = await _records(resolver.lookupIPV6Address(name, _TIMES), dns.AAAA, name)
    found: list[str] = []
    for records in (four, six):
        texts = [record.dottedQuad() if records is four else _six(record) for record in records]
        random.shuffle(texts)
        found += texts
    if found:
        return found[:MOST]
    if exchanger.implicit:
        raise NoMail(NO_ADDRESS)
    raise NotKnown(f"{name} has no address")


async def _records(asked: Deferred[Answer], kind: int, name: str) -> list[Any]:
    """The payloads of one kind; what does not exist has none."""
    try:
        answers, _, _ = await asked
    except DNSNameError:
        if kind == dns.MX:
            raise NoMail(NO_DOMAIN) from None
        return []
    except Exception as error:
        # Of a server, or of a broken answer: many kinds, and all mean the same.
        raise NotKnown(f"the DNS does not tell of {name}: {type(error).__name__}") from error
    return [record.payload for record in answers if record.type == kind]


def _text(name: Any) -> str:
    return name.name.decode("ascii", "replace").rstrip(".").lower()  # type: ignore[no-any-return]


def _six(record: Any) -> str:
    from ipaddress import IPv6Address

    return str(IPv6Address(record.address))
