"""What all connections share: terms, those who know, counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cgnode.frontend.authentication import Authenticator
from cgnode.frontend.queue.mailqueue import MailQueue
from cgnode.frontend.smtp.addresses import Addresses
from cgnode.frontend.smtp.counters import Counters
from cgnode.frontend.smtp.rates import Rates
from cgnode.frontend.smtp.settling import Settling
from cgnode.frontend.smtp.terms import Kind, Terms
from cgnode.proto.smtp.states import Limits, Service
from ldapserver.net.reactor import Reactor

if TYPE_CHECKING:
    from cgnode.frontend.smtp.session import Session


@define(eq=False)
class Desk:
    """``tls`` is the context that STARTTLS begins with; None: it is not offered.  ``wall``
    is what dates are made of.  ``session_ended`` is called after each.  ``services`` is
    what is offered to everybody."""

    reactor: Reactor
    terms: Terms
    queue: MailQueue
    addresses: Addresses
    authenticator: Authenticator
    settling: Settling
    rates: Rates
    tls: Any
    wall: Callable[[], float]
    session_ended: Callable[[], None]
    counters: Mapping[Kind, Counters] = field(factory=lambda: {kind: Counters() for kind in Kind})
    sessions: set[Session] = field(factory=set)
    services: Mapping[Kind, Service] = field(init=False)
    limits: Limits = field(init=False)

    def __attrs_post_init__(self) -> None:
        mechanisms, start_tls = self.authenticator.mechanisms, self.tls is not None
        self.services = {kind: self.terms.service(kind, start_tls, mechanisms) for kind in Kind}
        self.limits = self.terms.limits
