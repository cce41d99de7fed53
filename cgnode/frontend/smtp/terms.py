"""What clients are held to, in values: of a server, and of its two kinds of listeners."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from attrs import frozen

from cgnode.proto.smtp.states import Limits, Role, Service

Network: TypeAlias = IPv4Network | IPv6Network


class Kind(Enum):
    """What a listener is for."""

    SMTP = "smtp"
    SUBMISSION = "submission"


@frozen
class Terms:
    """``rate``: messages a minute, from an address or, once logged in, of an account; 0 is
    any number.  ``hops``: Received fields that a message may bring.  ``timeout``: seconds
    without an octet; ``login_time``: seconds that a client of submission has to log in.
    ``clear_text``: passwords without TLS beyond loopback.  ``xclient`` has the networks of
    trusted proxies.
    """

    hostname: str
    message_size: int = 10_240_000
    recipients: int = 1000
    errors: int = 20
    hops: int = 50
    rate: int = 0
    sender_check: bool = True
    timeout: float = 300.0
    login_time: float = 60.0
    clear_text: bool = False
    xclient: tuple[Network, ...] = ()

    @property
    def limits(self) -> Limits:
        return Limits(message_size=self.message_size, recipients=self.recipients, errors=self.errors)

    def service(self, kind: Kind, start_tls: bool, mechanisms: tuple[str, ...]) -> Service:
        """What is offered to a client in general."""
        match kind:
            case Kind.SMTP:
                # Who sends on unasked is no mail server, but may be somebody's tool to
                # smuggle mail with.
                return Service(Role.SMTP, self.hostname, start_tls=start_tls, strict_turns=True)
            case Kind.SUBMISSION:
                return Service(Role.SUBMISSION, self.hostname, start_tls=start_tls, mechanisms=mechanisms)

    def trusts(self, address: str) -> bool:
        """Whether a client there speaks for others."""
        if not self.xclient:
            return False
        found = plain_address(address)
        return found is not None and any(found in network for network in self.xclient)


def plain_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address without scope; IPv4's as such where it came in IPv6's form."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
