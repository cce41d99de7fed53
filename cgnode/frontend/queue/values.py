"""What the shell and the queue tell each other.

What lives here: frozen values.  What must not: state, behaviour.

The shell's round: ``Due`` messages are routed, each recipient by a ``Route``; an
``Attempt`` is made at a destination; each of its recipients has a ``Result``; what
senders are to be told of is a ``Notice``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from attrs import frozen

from cgnode.proto.smtp.address import Address
from cgnode.proto.smtp.envelope import Mail, Recipient
from cgnode.proto.smtp.reply import Reply


@frozen
class Clock:
    """``wall`` is what dates are made of; ``monotonic`` is what waiting is measured by."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class Kind(Enum):
    """``BACKEND``: an account's host, by LMTP.  ``REMOTE``: a domain or a smart host, by
    SMTP."""

    BACKEND = "backend"
    REMOTE = "remote"
    NOWHERE = "nowhere"
    """Where recipients wait that can't be routed for now."""


@frozen
class Destination:
    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}" if self.name else self.kind.value


@frozen
class Envelope:
    """``client`` and ``session`` say where the message came from, for people and logs."""

    mail: Mail
    recipients: tuple[Recipient, ...]
    client: str = ""
    session: str = ""
    hold: bool = False


# --- routing ---------------------------------------------------------------------------


@frozen
class Due:
    """Recipients of a message that are to be routed: index and address."""

    id: str
    sender: Address | None
    recipients: tuple[tuple[int, Address], ...]
    generation: int


@frozen
class Reason:
    """Why something failed: the reply of ``host``, or our own where that is ""."""

    reply: Reply
    host: str = ""

    def __str__(self) -> str:
        return f"{self.host} said: {self.reply}" if self.host else str(self.reply)


@frozen
class Deliver:
    """To ``destination``, as ``address``; None: the recipient's own."""

    destination: Destination
    address: Address | None = None


@frozen
class Defer:
    """It can't be known now where to."""

    reason: Reason


@frozen
class Refuse:
    """There is no such recipient any more."""

    reason: Reason


@frozen
class Expand:
    """It stands for these, who take its place in the message.  Who is a recipient of it
    already, by this or another name, does not become one twice."""

    recipients: tuple[Address, ...]


Route: TypeAlias = Deliver | Defer | Refuse | Expand


# --- delivering ------------------------------------------------------------------------


@frozen
class Target:
    """``index`` is the recipient's in the message."""

    index: int
    recipient: Recipient


@frozen
class Attempt:
    """One transaction to be made with a destination; ``size`` is the content's, ``session``
    the envelope's."""

    token: int
    id: str
    destination: Destination
    mail: Mail
    targets: tuple[Target, ...]
    size: int
    session: str = ""


class Duty(Enum):
    """Who tells the sender of a success, if told it is to be (RFC 3461 section 5.2)."""

    OURS_DELIVERED = "delivered"
    """It is in the mailbox."""
    OURS_RELAYED = "relayed"
    """The next server knows no DSN."""
    THEIRS = "theirs"
    """The next server took the request over."""


@frozen
class Delivered:
    duty: Duty = Duty.OURS_DELIVERED


@frozen
class Temporary:
    reason: Reason


@frozen
class Permanent:
    reason: Reason


Result: TypeAlias = Delivered | Temporary | Permanent


# --- reporting -------------------------------------------------------------------------


@frozen
class Reported:
    """What became of a notice: the ids of the messages to the sender that it made, none
    where nobody is to be told; and the recipients that failed for good."""

    id: str
    sender: Address | None
    reports: tuple[str, ...]
    failed: tuple[tuple[Address, Reason], ...]
